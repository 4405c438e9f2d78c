"""Call detail records: what became of each leg, as one line of the log and one record of a file."""
