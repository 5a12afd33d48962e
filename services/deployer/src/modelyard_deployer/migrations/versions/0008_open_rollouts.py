"""Index of the open rollouts: without one their list, and the search for models to reconcile, read every rollout.

Kind: expand. Locks: writes to the table wait while the index is built. Undo: drop the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('pending', 'preparing', 'shifting', 'holding')")


def upgrade() -> None:
    op.create_index(
        "rollouts_open", "rollouts", [sa.text("created_at DESC"), "id"], sqlite_where=OPEN, postgresql_where=OPEN
    )


def downgrade() -> None:
    op.drop_index("rollouts_open", "rollouts")
