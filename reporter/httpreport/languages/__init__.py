"""Defines stack traces, and knows what the runtimes of languages say about their frames."""
