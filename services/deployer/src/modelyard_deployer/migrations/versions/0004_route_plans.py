"""Routes hold a specification and a plan, what serves of a model has its own table, versions keep manifest bytes.

Kind: contract; nothing was released on the old tables. Locks: the service is stopped meanwhile. Undo: restore a backup.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from modelyard_runtime.tables import create_changes_table

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    db = op.get_bind()
    routes = [dict(row._mapping) for row in db.execute(sa.text("SELECT name, model, sequence, document FROM routes"))]
    versions = [dict(row._mapping) for row in db.execute(sa.text("SELECT model, version, document FROM versions"))]
    op.drop_table("routes")
    op.drop_table("versions")
    _create()
    create_changes_table(db)
    for row in routes:
        _copy_route(db, row)
    for row in versions:
        _copy_version(db, row)


def downgrade() -> None:
    raise NotImplementedError("0004 replaces tables; restore a backup")


def _create() -> None:
    op.create_table(
        "serving",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("writes", sa.Integer, nullable=False, comment="compare and swap"),
        _document_column(),
    )
    op.create_table(
        "routes",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("writes", sa.Integer, nullable=False, comment="compare and swap"),
        _document_column(),
    )
    op.create_table(
        "route_models",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Index("routes_of_model", "model"),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("manifest", sa.LargeBinary, nullable=False, comment="as registered, byte for byte"),
    )


def _document_column() -> sa.Column[Any]:
    return sa.Column("document", sa.JSON, nullable=False, comment="a dataclass of domain.routes")


def _copy_route(db: sa.Connection, row: dict[str, Any]) -> None:
    """The plan is left empty: the deployer publishes it again at its start."""
    old = _document(row["document"])
    serving: dict[str, Any] = {
        key: old.get(key) for key in ("model", "champion", "history", "warm_until", "policy") if key in old
    }
    serving |= {"route": row["name"], "writes": 0}
    spec = {"schema_version": 1, "min_release": "0.2", "root": {"kind": "model", "model": row["model"]}}
    spec["timeout_ms"] = (old.get("policy") or {}).get("timeout_ms", 2_000)
    route = {"name": row["name"], "model": row["model"], "salt": old["salt"], "spec": json.dumps(spec), "own": True}
    route |= {"sequence": row["sequence"], "writes": 0}
    _insert(db, "serving", {"model": row["model"], "writes": 0, "document": serving})
    columns = {"name": row["name"], "sequence": row["sequence"], "writes": 0, "document": route}
    _insert(db, "routes", columns)
    _insert(db, "route_models", {"route": row["name"], "model": row["model"]})


def _copy_version(db: sa.Connection, row: dict[str, Any]) -> None:
    old = _document(row["document"])
    data = json.dumps(old["manifest"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key = {"model": row["model"], "version": row["version"]}
    _insert(db, "versions", {**key, "digest": old["digest"], "stage": old["stage"], "manifest": data})


def _document(value: Any) -> dict[str, Any]:
    """PostgreSQL returns JSON parsed, SQLite as text."""
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found


def _insert(db: sa.Connection, table: str, values: dict[str, Any]) -> None:
    columns: list[Any] = [sa.column(name, sa.JSON) if name == "document" else sa.column(name) for name in values]
    db.execute(sa.insert(sa.table(table, *columns)).values(**values))
