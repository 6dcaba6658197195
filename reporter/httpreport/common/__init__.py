"""Provide what every layer may use: errors, printable text, progress, caches, interning."""
