"""The trainer's tables: queried fields are columns, the rest of a run is a JSON document."""

from sqlalchemy import JSON, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint, Uuid, text

from modelyard_contracts import RunState
from modelyard_runtime.tables import UtcDateTime, literally_in, metadata_tables

metadata = MetaData()
metadata_tables(metadata)

OPEN = literally_in("state", (state for state in RunState if not state.final))
"""Open runs, as in their indexes: a new open state needs a migration of these."""

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("model", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", Integer, nullable=False, comment="compare and swap, and the event's revision"),
    Column("refusal", Text, comment="code of the rule that refused the run"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("document", JSON, nullable=False, comment="domain.run.Run"),
    Index("runs_of_model", "model", "created_at"),
    Index("runs_newest", text("created_at DESC"), "id"),
    Index("runs_open", "created_at", sqlite_where=OPEN, postgresql_where=OPEN),
    Index("one_open_run", "model", unique=True, sqlite_where=OPEN, postgresql_where=OPEN),
)

learners = Table(
    "learners",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("document", JSON, nullable=False, comment="domain.learners.Learner"),
    UniqueConstraint("model", "kind"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("model", Text, primary_key=True),
    Column("document", JSON, nullable=False, comment="domain.schedule.Schedule"),
)
