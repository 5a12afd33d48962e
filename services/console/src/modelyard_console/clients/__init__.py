"""The other services, called with the key of a session."""
