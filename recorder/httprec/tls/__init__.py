"""Find where TLS libraries have the plaintext of HTTP messages, and attach the program's probes there (--tls)."""
