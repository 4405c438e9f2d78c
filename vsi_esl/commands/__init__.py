"""The commands of legs and rooms: payload schema, handler, errors and REST twin of each in one place."""
