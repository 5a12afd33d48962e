"""Index of the list of all rollouts, newest first: without one each page sorts every rollout.

Kind: expand. Locks: writes to the table wait while the index is built. Undo: drop the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("rollouts_newest", "rollouts", [sa.text("created_at DESC"), "id"])


def downgrade() -> None:
    op.drop_index("rollouts_newest", "rollouts")
