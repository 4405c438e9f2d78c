"""The VSI commands: payload schema, handler, errors and REST twin of each in one place."""
