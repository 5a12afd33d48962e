"""Runs, and the outbox and inbox.

Kind: first. Locks: none. Undo: drop the tables.
"""

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import UtcDateTime, create_runtime_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('requested', 'snapshotting', 'training', 'registering')")


def upgrade() -> None:
    create_runtime_tables(op.get_bind())
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, comment="compare and swap, and the event's revision"),
        sa.Column("refusal", sa.Text, comment="code of the rule that refused the run"),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.run.Run"),
        sa.Index("runs_of_model", "model", "created_at"),
        sa.Index("one_open_run", "model", unique=True, sqlite_where=OPEN, postgresql_where=OPEN),
    )


def downgrade() -> None:
    for name in ("runs", "inbox", "outbox"):
        op.drop_table(name)
