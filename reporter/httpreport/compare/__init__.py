"""Compute what changed between two reports (`changes`), and what could mislead a reader about it (`warnings`)."""
