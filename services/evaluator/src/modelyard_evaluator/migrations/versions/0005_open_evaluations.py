"""Index of the evaluations that have not finished, which the worker reads several times a second.

Kind: expand. Locks: writes to the table wait while the index is built. Undo: drop the index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPEN = sa.text("stage IN ('pending', 'trial', 'waiting', 'scoring')")


def upgrade() -> None:
    op.create_index("evaluations_open", "evaluations", ["next_at"], sqlite_where=OPEN, postgresql_where=OPEN)


def downgrade() -> None:
    op.drop_index("evaluations_open", "evaluations")
