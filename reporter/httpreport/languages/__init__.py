"""Stack traces as values, and what a language's runtime knows about its frames."""
