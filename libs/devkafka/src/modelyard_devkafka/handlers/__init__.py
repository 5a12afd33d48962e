"""Requests to use cases: one function per API, and the table of them."""
