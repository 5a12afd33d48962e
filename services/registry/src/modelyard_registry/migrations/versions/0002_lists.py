"""Indexes for searches over all models, the inbox of approvals and the audit list.

Kind: expand (old code ignores indexes). Locks: writes to versions and history wait while an index is built, about a
second per million rows. Undo: downgrade.
"""

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEXES: Final = (
    ("versions_in_lists", "versions", ["resource_id", "version", "task", "flavour"]),
    ("versions_by_stage_and_time", "versions", ["stage", "created_at", "resource_id", "version"]),
    ("history_by_time", "history", ["recorded_at", "resource_id", "position"]),
    ("history_by_actor", "history", ["actor", "recorded_at", "resource_id", "position"]),
    ("history_by_version", "history", ["resource_id", "version"]),
)


def upgrade() -> None:
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, table, _ in INDEXES:
        op.drop_index(name, table)
