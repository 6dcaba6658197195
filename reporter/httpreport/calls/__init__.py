"""Hold the table of calls: its columns, filters and totals."""
