"""Request handlers: one function per API, and their table."""
