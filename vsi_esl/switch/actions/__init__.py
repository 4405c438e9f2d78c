"""What the service has the switch do, in terms of legs, rooms and sound."""
