"""Building blocks for tests: sample messages, in-memory ports, local processes."""
