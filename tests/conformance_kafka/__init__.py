"""What the platform requires of Kafka. The development broker and the real one must pass all of it."""
