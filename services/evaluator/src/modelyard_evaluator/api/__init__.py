"""HTTP in: requests to use cases."""
