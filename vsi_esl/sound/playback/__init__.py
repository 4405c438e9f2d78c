"""Playbacks: audio and tones that a leg or a room hears."""
