"""Comparisons of versions that wait for traffic, as the evaluator published them.

Kind: expand (old code ignores the table). Locks: none on existing tables. Undo: drop the table.
"""

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("challenger", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("other", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("difference", sa.Float, nullable=False),
        sa.Column("low", sa.Float, nullable=False),
        sa.Column("high", sa.Float, nullable=False),
        sa.Column("evaluated_at", UtcDateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("comparisons")
