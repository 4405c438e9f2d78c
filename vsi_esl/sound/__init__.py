"""What a call hears and what is kept of it: playbacks, recordings, bridges between rooms.

The switch does the work and keeps doing it while the service is restarted; here is who plays what where,
what to do when a leg moves, and when clients are told.
"""
