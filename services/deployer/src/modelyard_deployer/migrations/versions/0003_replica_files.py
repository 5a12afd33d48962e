"""Replica records move to files beside the replicas' logs.

Kind: contract. Locks: none. Undo: create the table as in 0001. Running replicas have no record afterwards: the deployer
stops them at its next start and starts new ones.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("replicas")


def downgrade() -> None:
    raise NotImplementedError("replica records live in files since 0003; restore a backup")
