"""Show a capture while it grows: routes, slow calls, and what was lost so far."""
