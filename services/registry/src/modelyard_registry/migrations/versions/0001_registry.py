"""The registry's tables, and triggers that hold what may never change.

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
    Text,
    UniqueConstraint,
    Uuid,
)

from modelyard_runtime.database import UtcDateTime, create_runtime_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIXED_OF_VERSION = (
    "model, version, digest, idempotency_key, manifest, flavour, feature_schema_id, run_id, metrics, "
    "correlation_id, cause_id, created_at, created_by"
)


def upgrade() -> None:
    create_runtime_tables(op.get_bind())
    _models_and_versions()
    _aliases_and_policies()
    _history()
    _datasets_and_keys()
    _avro()
    _first_free_id()
    _never_change("versions", FIXED_OF_VERSION)
    _never_change("history")
    _never_change("policies")
    _never_change("datasets")
    _never_change("avro_schemas")


def _models_and_versions() -> None:
    op.create_table(
        "models",
        Column("name", Text, primary_key=True),
        Column("description", Text, nullable=False),
        Column("owner", Text, nullable=False),
        Column("labels", JSON, nullable=False),
        Column("revision", BigInteger, nullable=False, comment="facts told so far"),
        Column("entries", BigInteger, nullable=False, comment="lines of history so far"),
        Column("last_version", Integer, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "versions",
        Column("model", Text, ForeignKey("models.name"), primary_key=True),
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("digest", Text, nullable=False),
        Column("stage", Text, nullable=False),
        Column("idempotency_key", Text, nullable=False),
        Column("manifest", Text, nullable=False, comment="canonical JSON, the bytes the digest is of"),
        Column("flavour", Text, nullable=False),
        Column("feature_schema_id", Text, nullable=False),
        Column("run_id", Text),
        Column("metrics", JSON, nullable=False),
        Column("correlation_id", Uuid, nullable=False),
        Column("cause_id", Uuid),
        Column("created_at", UtcDateTime, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("last_event_id", Uuid),
        UniqueConstraint("model", "digest", name="versions_digest_once"),
        UniqueConstraint("model", "idempotency_key", name="versions_key_once"),
    )
    op.create_index("versions_by_digest", "versions", ["digest"])
    op.create_index("versions_by_stage", "versions", ["model", "stage"])


def _aliases_and_policies() -> None:
    op.create_table(
        "aliases",
        Column("model", Text, ForeignKey("models.name"), primary_key=True),
        Column("alias", Text, primary_key=True),
        Column("version", Integer, comment="NULL: points nowhere, the generation goes on"),
        Column("generation", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("moved_at", UtcDateTime, nullable=False),
        ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"], name="aliases_version"),
    )
    op.create_table(
        "policies",
        Column("model", Text, ForeignKey("models.name"), primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("revision", Integer, primary_key=True, autoincrement=False),
        Column("document", JSON, nullable=False),
        Column("actor", Text, nullable=False),
        Column("set_at", UtcDateTime, nullable=False),
    )


def _history() -> None:
    op.create_table(
        "history",
        Column("model", Text, ForeignKey("models.name"), primary_key=True),
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("revision", BigInteger, comment="NULL: happened elsewhere, only recorded"),
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
        UniqueConstraint("model", "revision", name="history_revision_once"),
        UniqueConstraint("event_id", name="history_event_once"),
    )
    op.create_index("history_by_story", "history", ["correlation_id"])
    op.create_table(
        "rollouts",
        Column("rollout_id", Uuid, primary_key=True),
        Column("model", Text, nullable=False),
        Column("revision", BigInteger, nullable=False),
        Column("state", Text, nullable=False),
        Column("occurred_at", UtcDateTime, nullable=False),
    )
    op.create_index("rollouts_by_model", "rollouts", ["model", "occurred_at"])


def _datasets_and_keys() -> None:
    op.create_table(
        "datasets",
        Column("digest", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("model", Text),
        Column("format", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        Column("columns", JSON, nullable=False),
        Column("source", JSON, nullable=False),
        Column("created_at", UtcDateTime, nullable=False),
        Column("created_by", Text, nullable=False),
    )
    op.create_table(
        "api_keys",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("scopes", JSON, nullable=False),
        Column("secret_hash", Text, nullable=False, comment="HMAC-SHA256; the secret is kept nowhere"),
        Column("created_at", UtcDateTime, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("expires_at", UtcDateTime),
        Column("revoked_at", UtcDateTime),
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


def _first_free_id() -> None:
    op.execute("INSERT INTO avro_next_id (counter, next_id) VALUES (1, 100001)")


def _never_change(table: str, columns: str = "") -> None:
    """Refuse DELETE, and UPDATE (of the given columns), in the database itself: a bug of ours cannot do it either."""
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
