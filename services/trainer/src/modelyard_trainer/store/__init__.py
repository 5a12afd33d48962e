"""The trainer's tables."""
