"""Connections to providers, and what versions were made from, for searches.

Kind: expand (old code ignores the tables; versions that it registers meanwhile are not found by their lineage). Locks:
none on existing tables. The manifests of all model versions are read once: about a minute per 100,000. Undo: downgrade.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from alembic import op
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    or_,
    select,
)

from modelyard_runtime.database import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROWS: Final = 500
MAX_TARGET: Final = 512
REGISTERED: Final = re.compile(r"([^@\s]{1,200})@(\d{1,10})(?: \((sha256:[0-9a-f]{64})\))?")


def upgrade() -> None:
    op.create_table(
        "connections",
        Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
        Column("revision", Integer, nullable=False),
        Column("document", JSON(none_as_null=True), comment="NULL: deleted; the revision continues"),
        Column("changed_at", UtcDateTime, nullable=False),
        Column("changed_by", Text, nullable=False),
    )
    op.create_table(
        "version_lineage",
        Column("resource_id", Integer, primary_key=True, autoincrement=False),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("relation", Text, primary_key=True, comment="dataset, base_model or connection"),
        Column("target", Text, primary_key=True),
        ForeignKeyConstraint(
            ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="version_lineage_version"
        ),
    )
    _fill(op.get_bind())
    columns = ["relation", "target", "resource_id", "version"]
    op.create_index("version_lineage_by_target", "version_lineage", columns)


def _fill(db: Connection) -> None:
    """Add the links of the versions that exist."""
    at: tuple[int, int] = (0, 0)
    while rows := _page(db, at):
        links = [
            {"resource_id": row.resource_id, "version": row.version, "relation": relation, "target": target}
            for row in rows
            for relation, target in sorted(set(_links(row.manifest)))
        ]
        if links:
            db.execute(insert(LINEAGE), links)
        at = (rows[-1].resource_id, rows[-1].version)


def _page(db: Connection, at: tuple[int, int]) -> list[Any]:
    v, r = VERSIONS.c, RESOURCES.c
    after = or_(v.resource_id > at[0], (v.resource_id == at[0]) & (v.version > at[1]))
    query = select(v.resource_id, v.version, v.manifest).join(RESOURCES, r.id == v.resource_id)
    query = query.where(r.kind == "model", after).order_by(v.resource_id, v.version)
    return list(db.execute(query.limit(ROWS)))


def _links(manifest: bytes) -> Iterator[tuple[str, str]]:
    """As the registry of this release writes them; a manifest that cannot be read has none."""
    try:
        document = json.loads(manifest)
        dataset = (document.get("training") or {}).get("dataset_digest") or ""
        base = (document.get("source") or {}).get("base_model") or ""
    except (ValueError, AttributeError):
        return
    found = [("dataset", dataset), ("base_model", base)]
    if (match := REGISTERED.fullmatch(str(base))) is not None:
        model, version, digest = match.groups()
        found += [("base_model", model), ("base_model", f"{model}@{version}"), ("base_model", digest or "")]
    yield from ((relation, target) for relation, target in found if target and len(str(target)) <= MAX_TARGET)


_METADATA: Final = MetaData()
VERSIONS: Final = Table(
    "versions",
    _METADATA,
    Column("resource_id", Integer),
    Column("version", Integer),
    Column("manifest", LargeBinary),
)
RESOURCES: Final = Table("resources", _METADATA, Column("id", Integer), Column("kind", Text))
LINEAGE: Final = Table(
    "version_lineage",
    _METADATA,
    Column("resource_id", Integer),
    Column("version", Integer),
    Column("relation", Text),
    Column("target", Text),
)


def downgrade() -> None:
    op.drop_table("version_lineage")
    op.drop_table("connections")
