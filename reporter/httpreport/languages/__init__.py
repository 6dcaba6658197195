"""Define stack traces, and interpret what the runtimes of languages say about their frames."""
