"""Reads a capture file into a `Recording`, and verifies it."""
