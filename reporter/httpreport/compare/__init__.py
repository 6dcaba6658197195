"""What changed between two reports (`changes`), and what a reader of that could misunderstand (`warnings`)."""
