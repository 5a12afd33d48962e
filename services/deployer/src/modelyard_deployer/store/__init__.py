"""SQL implementation of the store ports."""
