"""The VSI events as types: their names, members and documentation."""
