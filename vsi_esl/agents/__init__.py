"""Agents of others that talk with a leg or in a room."""
