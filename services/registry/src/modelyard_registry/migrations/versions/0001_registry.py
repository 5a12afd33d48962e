"""The registry's tables, and triggers that protect rows that never change.

Kind: expand (first). Locks: none on existing tables. Undo: drop the database.
"""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
)

from modelyard_runtime.database import UtcDateTime, create_changes_table, create_runtime_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIXED_OF_VERSION = (
    "resource_id, version, digest, idempotency_key, manifest, flavour, feature_schema_id, task, run_id, metrics, "
    "correlation_id, cause_id, created_at, created_by"
)


def upgrade() -> None:
    create_runtime_tables(op.get_bind())
    create_changes_table(op.get_bind())
    _resources()
    _versions()
    _version_files()
    _aliases_and_policies()
    _history()
    _api_keys()
    _avro()
    op.execute("INSERT INTO avro_next_id (counter, next_id) VALUES (1, 100001)")
    _never_change("versions", FIXED_OF_VERSION)
    for table in ("version_files", "signatures", "history", "policies", "avro_schemas"):
        _never_change(table)


def _resources() -> None:
    op.create_table(
        "resources",
        Column("id", Integer, primary_key=True),
        Column("workspace", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("owner", Text, nullable=False),
        Column("labels", JSON, nullable=False),
        Column("revision", BigInteger, nullable=False, comment="changes published so far"),
        Column("entries", BigInteger, nullable=False, comment="lines of history so far"),
        Column("last_version", Integer, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("created_by", Text, nullable=False),
        UniqueConstraint("kind", "workspace", "name", name="resources_name_once"),
    )


def _versions() -> None:
    op.create_table(
        "versions",
        Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("digest", Text, nullable=False),
        Column("stage", Text, nullable=False),
        Column("idempotency_key", Text, nullable=False),
        Column("manifest", LargeBinary, nullable=False, comment="the bytes as received; the digest is their SHA-256"),
        Column("flavour", Text, nullable=False),
        Column("feature_schema_id", Text),
        Column("task", Text),
        Column("run_id", Text),
        Column("metrics", JSON, nullable=False),
        Column("semver", Text),
        Column("tags", JSON, nullable=False),
        Column("correlation_id", Uuid, nullable=False),
        Column("cause_id", Uuid),
        Column("created_at", UtcDateTime, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("last_event_id", Uuid),
        UniqueConstraint("resource_id", "digest", name="versions_digest_once"),
        UniqueConstraint("resource_id", "idempotency_key", name="versions_key_once"),
        UniqueConstraint("resource_id", "semver", name="versions_semver_once"),
    )
    op.create_index("versions_by_digest", "versions", ["digest"])
    op.create_index("versions_by_stage", "versions", ["resource_id", "stage"])
    op.create_index("versions_by_task", "versions", ["resource_id", "task"])


def _version_files() -> None:
    op.create_table(
        "version_files",
        Column("resource_id", Integer, primary_key=True, autoincrement=False),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("path", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        ForeignKeyConstraint(
            ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="version_files_version"
        ),
    )
    op.create_index("version_files_by_digest", "version_files", ["digest"])
    op.create_table(
        "signatures",
        Column("workspace", Text, primary_key=True),
        Column("feature_schema_id", Text, primary_key=True),
        Column("digest", Text, nullable=False, comment="SHA-256 of the signature's canonical JSON"),
    )


def _aliases_and_policies() -> None:
    op.create_table(
        "aliases",
        Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
        Column("alias", Text, primary_key=True),
        Column("version", Integer, comment="NULL: dropped; the generation continues"),
        Column("generation", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("moved_at", UtcDateTime, nullable=False),
        ForeignKeyConstraint(
            ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="aliases_version"
        ),
    )
    op.create_table(
        "policies",
        Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
        Column("kind", Text, primary_key=True),
        Column("revision", Integer, primary_key=True, autoincrement=False),
        Column("document", JSON, nullable=False),
        Column("actor", Text, nullable=False),
        Column("set_at", UtcDateTime, nullable=False),
    )


def _history() -> None:
    op.create_table(
        "history",
        Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("revision", BigInteger, comment="NULL: published elsewhere, only recorded here"),
        Column("change", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("event_id", Uuid, nullable=False),
        Column("correlation_id", Uuid, nullable=False),
        Column("cause_id", Uuid),
        Column("occurred_at", UtcDateTime, nullable=False),
        Column("recorded_at", UtcDateTime, nullable=False),
        Column("version", Integer),
        Column("digest", Text),
        Column("stage", Text),
        Column("previous_stage", Text),
        Column("alias", Text),
        Column("alias_generation", BigInteger),
        Column("policy", Text),
        Column("detail", JSON, nullable=False),
        UniqueConstraint("resource_id", "revision", name="history_revision_once"),
        UniqueConstraint("event_id", name="history_event_once"),
    )
    op.create_index("history_by_timeline", "history", ["correlation_id"])
    op.create_table(
        "rollouts",
        Column("rollout_id", Uuid, primary_key=True),
        Column("model", Text, nullable=False),
        Column("revision", BigInteger, nullable=False),
        Column("state", Text, nullable=False),
        Column("occurred_at", UtcDateTime, nullable=False),
    )
    op.create_index("rollouts_by_model", "rollouts", ["model", "occurred_at"])


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        Column("id", Text, primary_key=True),
        Column("identity", Text, nullable=False),
        Column("kind", Text, nullable=False, comment="user or service"),
        Column("roles", JSON, nullable=False, comment="workspace to list of roles"),
        Column("scopes", JSON(none_as_null=True), comment="NULL: the roles are not narrowed"),
        Column("secret_hash", Text, nullable=False, comment="HMAC-SHA256; the secret itself is stored nowhere"),
        Column("hash_secret_id", Text, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("expires_at", UtcDateTime),
        Column("revoked_at", UtcDateTime),
        Column("replaces", Text),
    )


def _avro() -> None:
    op.create_table(
        "avro_schemas",
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("identity", Text, nullable=False, comment="SHA-256 of the normalised schema"),
        Column("fingerprint", Text, nullable=False, comment="CRC-64-AVRO, hexadecimal in wire order"),
        Column("text", Text, nullable=False, comment="as it was registered"),
        Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_index("avro_schemas_by_identity", "avro_schemas", ["identity"])
    op.create_index("avro_schemas_by_fingerprint", "avro_schemas", ["fingerprint"])
    op.create_table(
        "avro_subjects",
        Column("subject", Text, primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("schema_id", Integer, ForeignKey("avro_schemas.id"), nullable=False),
        Column("deleted", Boolean, nullable=False),
    )
    op.create_index("avro_subjects_by_schema", "avro_subjects", ["schema_id"])
    op.create_table(
        "avro_levels",
        Column("subject", Text, primary_key=True, comment="empty: all others"),
        Column("level", Text, nullable=False),
    )
    op.create_table(
        "avro_next_id",
        Column(
            "counter", Integer, primary_key=True, autoincrement=False, comment="one row; its lock orders registrations"
        ),
        Column("next_id", Integer, nullable=False),
    )


def _never_change(table: str, columns: str = "") -> None:
    """Refuse DELETE, and UPDATE of the given columns, in the database: even a bug of the registry cannot do it."""
    of = f"UPDATE OF {columns}" if columns else "UPDATE"
    if op.get_bind().dialect.name == "sqlite":
        for what, word in ((of, "update"), ("DELETE", "delete")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{word} BEFORE {what} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table}: rows never change'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table}: rows never change'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_never BEFORE DELETE OR {of} ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"
    )


def downgrade() -> None:
    raise NotImplementedError("the first revision has no way back; drop the database")
