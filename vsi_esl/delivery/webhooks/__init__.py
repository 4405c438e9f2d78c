"""Webhooks: which URL an event goes to, and its way there through the outbox."""
