"""Schedules of retraining policies.

Kind: expand. Locks: none. Undo: drop the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.schedule.Schedule"),
    )


def downgrade() -> None:
    op.drop_table("schedules")
