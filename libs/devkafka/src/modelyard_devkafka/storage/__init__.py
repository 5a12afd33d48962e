"""What is on disk: a journal of facts, and per partition the record batches in segments."""
