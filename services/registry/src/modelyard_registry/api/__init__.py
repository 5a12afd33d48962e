"""HTTP: one call, one use case."""
