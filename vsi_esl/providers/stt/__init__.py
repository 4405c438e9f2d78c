"""Speech to text: one provider a module."""
