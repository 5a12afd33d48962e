"""Index of the list of all runs, newest first: without one each page sorts every run.

Kind: expand. Locks: writes to the table wait while the index is built. Undo: drop the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("runs_newest", "runs", [sa.text("created_at DESC"), "id"])


def downgrade() -> None:
    op.drop_index("runs_newest", "runs")
