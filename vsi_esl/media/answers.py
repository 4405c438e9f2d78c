"""What the task of an agent answers to a message that it was told (its report `answer`, as `outcome`)."""

SENT = "sent"
NOT_RUNNING = "not_running"
"""It is not connected with its provider yet, or no more."""
NOT_OFFERED = "not_offered"
"""The provider takes no messages."""
FAILED = "failed"
