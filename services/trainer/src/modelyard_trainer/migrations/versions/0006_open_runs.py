"""Index of the open runs, which the supervisor reads several times a second: without one it reads every run.

Kind: expand. Locks: writes to the table wait while the index is built. Undo: drop the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('requested', 'snapshotting', 'training', 'registering')")


def upgrade() -> None:
    op.create_index("runs_open", "runs", ["created_at"], sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    op.drop_index("runs_open", "runs")
