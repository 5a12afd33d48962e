"""Scans, tensors and cards of versions, and the properties of versions that searches filter on.

Kind: expand (old code neither reads nor writes the new columns and tables). Locks: adding nullable columns is
immediate; writes to versions wait while an index is built, about a second per million rows. Undo: downgrade.
"""

from typing import Final

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, ForeignKey, ForeignKeyConstraint, Integer, LargeBinary, Text

from modelyard_runtime.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OF_VERSIONS: Final = (
    ("framework", "that wrote the files, without its version"),
    ("license", None),
    ("source_kind", "NULL: made by a training run"),
    ("scan_verdict", "NULL: not scanned"),
    ("scan_rules", "version of the rules of the last scan"),
    ("card_digest", "of the card at the first approval"),
)
TABLES: Final = ("stage_counts", "scan_reports", "version_tensors", "card_revisions", "card_releases")


def upgrade() -> None:
    for name, comment in OF_VERSIONS:
        op.add_column("versions", Column(name, Text, comment=comment))
    op.create_index("versions_by_scan_rules", "versions", ["scan_rules"])
    _scans()
    _cards()
    _stage_counts()


def _scans() -> None:
    _of_version(
        "scan_reports",
        Column("rules_version", Text, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("report", JSON, nullable=False),
        Column("scanned_at", UtcDateTime, nullable=False),
    )
    _of_version(
        "version_tensors",
        Column("position", Integer, primary_key=True, autoincrement=False, comment="0 is the largest tensor"),
        Column("name", Text, nullable=False),
        Column("dtype", Text, nullable=False),
        Column("shape", JSON, nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        Column("digest", Text, nullable=False, comment="of type, shape and values; 32 hexadecimal digits"),
    )
    op.create_index("version_tensors_by_digest", "version_tensors", ["digest"])


def _cards() -> None:
    _of_version(
        "card_revisions",
        Column("revision", Integer, primary_key=True, autoincrement=False),
        Column("prose", JSON, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("written_at", UtcDateTime, nullable=False),
    )
    _of_version(
        "card_releases",
        Column("revision", Integer, nullable=False, comment="of the prose; 0: none was written"),
        Column("card", LargeBinary, nullable=False, comment="canonical JSON at the first approval"),
        Column("digest", Text, nullable=False, comment="SHA-256 of the card"),
        Column("released_at", UtcDateTime, nullable=False),
    )


def _of_version(name: str, *columns: Column[object]) -> None:
    """Create a table whose rows belong to a version."""
    op.create_table(
        name,
        Column("resource_id", Integer, primary_key=True, autoincrement=False),
        Column("version", Integer, primary_key=True, autoincrement=False),
        *columns,
        ForeignKeyConstraint(
            ["resource_id", "version"], ["versions.resource_id", "versions.version"], name=f"{name}_version"
        ),
    )


def _stage_counts() -> None:
    """Numbers of versions per stage: lists would otherwise count all versions for each page."""
    op.create_table(
        "stage_counts",
        Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
        Column("stage", Text, primary_key=True),
        Column("versions", Integer, nullable=False, comment="kept by triggers on versions"),
    )
    op.execute("INSERT INTO stage_counts SELECT resource_id, stage, count(*) FROM versions GROUP BY resource_id, stage")
    for statement in SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TRIGGERS:
        op.execute(statement)


ENTER: Final = (
    "INSERT INTO stage_counts (resource_id, stage, versions) VALUES (NEW.resource_id, NEW.stage, 1) "
    "ON CONFLICT (resource_id, stage) DO UPDATE SET versions = stage_counts.versions + 1;"
)
LEAVE: Final = (
    "UPDATE stage_counts SET versions = versions - 1 WHERE resource_id = OLD.resource_id AND stage = OLD.stage;"
)
# Triggers, because the release before this one may still write while both run.
SQLITE_TRIGGERS: Final = (
    f"CREATE TRIGGER versions_enter_stage AFTER INSERT ON versions BEGIN {ENTER} END",
    f"CREATE TRIGGER versions_change_stage AFTER UPDATE OF stage ON versions BEGIN {LEAVE} {ENTER} END",
)
POSTGRESQL_TRIGGERS: Final = (
    f"CREATE FUNCTION versions_enter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {ENTER} RETURN NULL; END $$",
    f"CREATE FUNCTION versions_change() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN {LEAVE} {ENTER} RETURN NULL; END $$",
    "CREATE TRIGGER versions_enter_stage AFTER INSERT ON versions FOR EACH ROW EXECUTE FUNCTION versions_enter()",
    "CREATE TRIGGER versions_change_stage AFTER UPDATE OF stage ON versions "
    "FOR EACH ROW EXECUTE FUNCTION versions_change()",
)


def downgrade() -> None:
    for name in ("versions_enter_stage", "versions_change_stage"):
        op.execute(f"DROP TRIGGER {name}" + ("" if op.get_bind().dialect.name == "sqlite" else " ON versions"))
    for name in TABLES:
        op.drop_table(name)
    op.drop_index("versions_by_scan_rules", "versions")
    for name, _ in OF_VERSIONS:
        op.drop_column("versions", name)
