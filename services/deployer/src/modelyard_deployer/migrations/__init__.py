"""Alembic migrations of the deployer's tables, oldest first in `versions/`."""
