"""A development broker that speaks the Kafka protocol: a local default and a test double, never Kafka."""
