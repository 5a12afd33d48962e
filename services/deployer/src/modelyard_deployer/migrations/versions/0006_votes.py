"""The vote of each adaptive model: members, weights, and the position in the labels that they follow.

Kind: expand (old code ignores the table). Locks: none on existing tables. Undo: drop the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "votes",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("writes", sa.Integer, nullable=False, comment="number of saves, for optimistic locking"),
        sa.Column("document", sa.JSON, nullable=False, comment="weights and cursor, always written together"),
    )


def downgrade() -> None:
    op.drop_table("votes")
