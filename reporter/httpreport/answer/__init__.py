"""Answer what a report is asked first: which requests take the time, and who holds it. Never a guess."""
