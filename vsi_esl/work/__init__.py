"""Background work: queues per leg and room, timers, waits for events, and the clock of all that."""
