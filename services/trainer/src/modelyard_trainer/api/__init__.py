"""HTTP: one endpoint per use case."""
