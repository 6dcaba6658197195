"""From a capture file to a recording, and --verify."""
