"""Speech to text: what the legs say, as events."""
