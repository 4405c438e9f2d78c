"""What is done where a switch's files are, on the machine of the service."""
