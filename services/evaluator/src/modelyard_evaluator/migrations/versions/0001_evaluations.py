"""Evaluations, and the outbox and inbox.

Kind: first. Locks: none. Undo: drop the tables.
"""

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import UtcDateTime, create_runtime_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_runtime_tables(op.get_bind())
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("next_at", UtcDateTime, nullable=False, comment="not to be tried before"),
        sa.Column("writes", sa.Integer, nullable=False, comment="compare and swap"),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.model.Evaluation"),
        sa.Index("evaluations_of_model", "model", "created_at"),
        sa.Index("evaluations_due", "stage", "next_at"),
    )


def downgrade() -> None:
    for name in ("evaluations", "inbox", "outbox"):
        op.drop_table(name)
