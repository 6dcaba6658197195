"""Provide the command line: options, commands, processes that read captures in parallel, and the files they write."""
