"""Put a report together: totals of one capture or of many, warnings, and the texts that every output shares."""
