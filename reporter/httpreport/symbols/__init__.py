"""Turns stacks into stack traces: walks them, finds binaries, names addresses, finds source lines."""
