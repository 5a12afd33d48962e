"""Storage: a journal of metadata, and segments of record batches per partition."""
