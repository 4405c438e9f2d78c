"""Answering machine detection: what answered a call, and when a machine begins to record."""
