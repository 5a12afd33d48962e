"""HTTP: each endpoint calls one use case."""
