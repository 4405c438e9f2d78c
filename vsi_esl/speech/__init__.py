"""Speech to text and text to speech of legs and rooms."""
