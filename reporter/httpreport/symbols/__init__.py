"""Turn stacks into stack traces: walk them, find binaries, name addresses, find source lines."""
