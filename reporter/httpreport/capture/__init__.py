"""Read a capture file into a `Recording`, and verify it."""
