"""Legs and rooms: what begins, changes and ends them, and the events that this means."""
