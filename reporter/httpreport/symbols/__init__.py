"""From recorded stacks to stack traces: maps, unwinding, binaries, names and source lines."""
