"""Text to speech: one provider a module."""
