"""Real programs that make HTTP calls, slow and fast, and say when: what the recorder is tested and shown with."""
