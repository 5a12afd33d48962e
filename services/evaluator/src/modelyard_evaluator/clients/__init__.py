"""Clients of the registry and of ClickHouse."""
