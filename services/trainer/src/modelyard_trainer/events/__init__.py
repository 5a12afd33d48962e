"""Topics: one handler per event."""
