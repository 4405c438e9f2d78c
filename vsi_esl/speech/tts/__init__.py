"""Text to speech: texts that a leg or a room hears."""
