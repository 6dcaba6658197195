"""Find the runtimes of languages in processes, and read from memory what names their frames. Nothing is changed."""
