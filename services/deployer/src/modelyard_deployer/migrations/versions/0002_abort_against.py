"""Whether what asked for a rollout's end speaks against its version.

Kind: one column that may be empty. Locks: none for longer than a moment. Undo: drop the column.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rollouts", sa.Column("abort_against", sa.Boolean, comment="abort_reason speaks against the version"))


def downgrade() -> None:
    op.drop_column("rollouts", "abort_against")
