"""Fan-out of VSI events to whoever listens."""
