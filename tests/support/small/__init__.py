"""A small feature, as one adds it: what tests/unit/test_features.py puts into a service."""
