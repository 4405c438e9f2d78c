"""The page for the people on duty, at /console: its files (`static/`), and what it is told beside events."""
