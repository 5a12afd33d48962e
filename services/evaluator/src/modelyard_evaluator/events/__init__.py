"""Events in: topics to use cases."""
