"""HTTP adapter: one route per use case."""
