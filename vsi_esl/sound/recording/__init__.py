"""Recordings of legs and rooms: begun, kept in step with the call, published."""
