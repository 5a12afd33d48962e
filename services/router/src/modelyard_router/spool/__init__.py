"""The write-ahead log between an answer and Kafka."""
