"""Build the BPF program of httprec: its C source, its rows, and the facts that it needs about the running kernel."""
