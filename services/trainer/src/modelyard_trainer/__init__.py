"""Training runs on Ray."""
