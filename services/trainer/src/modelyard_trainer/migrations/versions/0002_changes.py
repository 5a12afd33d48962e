"""The log of changes that followers of `GET /v1/changes` read.

Kind: expand. Locks: none. Undo: drop the table.
"""

from alembic import op

from modelyard_runtime.tables import create_changes_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_changes_table(op.get_bind())


def downgrade() -> None:
    op.drop_table("changes")
