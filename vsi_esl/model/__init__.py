"""Legs and rooms as VSI sees them. No I/O here."""
