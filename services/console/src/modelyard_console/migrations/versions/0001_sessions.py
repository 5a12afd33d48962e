"""Sessions of the console.

Kind: first. Locks: none. Undo: drop the table; everybody signs in again.
"""

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.LargeBinary, primary_key=True, comment="SHA-256 of the cookie"),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False, comment="API key, encrypted by the cookie"),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.Index("sessions_seen", "seen_at"),
    )


def downgrade() -> None:
    op.drop_table("sessions")
