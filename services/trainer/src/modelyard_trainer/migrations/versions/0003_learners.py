"""Online learners.

Kind: expand. Locks: none. Undo: drop the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "learners",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.learners.Learner"),
        sa.UniqueConstraint("model", "kind"),
    )


def downgrade() -> None:
    op.drop_table("learners")
