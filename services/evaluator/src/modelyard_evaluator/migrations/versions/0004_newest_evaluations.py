"""Index of the list of all evaluations, newest first: without one each page sorts every evaluation.

Kind: expand. Locks: writes to the table wait while the index is built. Undo: drop the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("evaluations_newest", "evaluations", [sa.text("created_at DESC"), "id"])


def downgrade() -> None:
    op.drop_index("evaluations_newest", "evaluations")
