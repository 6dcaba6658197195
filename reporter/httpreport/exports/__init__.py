"""What other tools read: each file here writes a `Report` in one of their formats, as pure text or bytes."""
