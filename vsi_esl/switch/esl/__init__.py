"""The event socket: frames, connections, background jobs, and the pulse that tells a switch stands still."""
