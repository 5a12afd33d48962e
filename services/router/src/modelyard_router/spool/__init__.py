"""The log of predictions and labels on disk, and its delivery to Kafka, each record exactly once."""
