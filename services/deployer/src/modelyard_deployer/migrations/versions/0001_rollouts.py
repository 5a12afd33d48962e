"""Rollouts, routes, publications, acknowledgements, versions, replicas, and the outbox and inbox.

Kind: first. Locks: none. Undo: drop the tables.
"""

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import UtcDateTime, create_runtime_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ACTIVE = sa.text("state IN ('preparing', 'shifting', 'holding')")


def upgrade() -> None:
    create_runtime_tables(op.get_bind())
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("writes", sa.Integer, nullable=False, comment="compare and swap"),
        sa.Column("abort_reason", sa.Text, comment="asked for from outside; the reconciler obeys"),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.model.Rollout"),
        sa.Index("rollouts_of_model", "model", "created_at"),
        sa.Index("one_active_rollout", "model", unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE),
    )
    op.create_table(
        "routes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False, unique=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.model.Route"),
    )
    op.create_table(
        "publications",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("published_at", UtcDateTime, nullable=False),
        sa.Column("document", sa.JSON, nullable=False, comment="RoutePublished"),
    )
    op.create_table(
        "acks",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("router_id", sa.Text, primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.model.Version"),
    )
    op.create_table(
        "replicas",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.JSON, nullable=False, comment="domain.model.Replica"),
        sa.Index("replicas_of_model", "model"),
    )


def downgrade() -> None:
    for name in ("replicas", "versions", "acks", "publications", "routes", "rollouts", "inbox", "outbox"):
        op.drop_table(name)
