"""Alembic revisions; `migrate(engine, "modelyard_registry:migrations")` runs them at the start."""
