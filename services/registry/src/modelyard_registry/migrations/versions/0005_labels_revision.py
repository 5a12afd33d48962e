"""A revision of the labels of a version, so that two people cannot overwrite each other's tags.

Kind: expand (old code leaves the column at its default). Locks: an exclusive lock on `versions` for a moment; no row is
written. Undo: downgrade.
"""

from alembic import op
from sqlalchemy import Column, Integer

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = Column(
        "labels_revision", Integer, nullable=False, server_default="0", comment="changes of tags and semver"
    )
    op.add_column("versions", column)


def downgrade() -> None:
    op.drop_column("versions", "labels_revision")
