"""What the people on duty see: the log and the metrics."""
