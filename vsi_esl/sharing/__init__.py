"""What several services on one Redis share: their events, commands to each other, their webhooks."""
