"""Run real programs that make slow and fast HTTP calls and log their times, for the recorder's tests and the demo."""
