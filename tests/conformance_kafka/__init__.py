"""What the platform needs of a Kafka. The development broker must pass all of it, and so must the real one."""
