"""The BPF program of httprec, its rows, and what it needs to know of the running kernel."""
