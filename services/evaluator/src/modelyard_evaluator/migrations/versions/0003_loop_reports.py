"""Published reports of demos and backtests.

Kind: expand. Locks: none. Undo: drop the table.
"""

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "loop_reports",
        sa.Column("id", sa.Uuid, primary_key=True, comment="derived from model and content"),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.loop_reports.LoopReport"),
        sa.Index("loop_reports_newest", "created_at", "id"),
    )


def downgrade() -> None:
    op.drop_table("loop_reports")
