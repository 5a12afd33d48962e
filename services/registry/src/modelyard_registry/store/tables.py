"""The registry's tables. What they are on disk is said by migrations/; a test holds the two together."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from modelyard_runtime.database import UtcDateTime, metadata_tables

METADATA: Final = MetaData()
metadata_tables(METADATA)

models = Table(
    "models",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False, comment="facts told so far"),
    Column("entries", BigInteger, nullable=False, comment="lines of history so far"),
    Column("last_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

versions = Table(
    "versions",
    METADATA,
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
    Index("versions_by_digest", "digest"),
    Index("versions_by_stage", "model", "stage"),
)

aliases = Table(
    "aliases",
    METADATA,
    Column("model", Text, ForeignKey("models.name"), primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("version", Integer, comment="NULL: points nowhere, the generation goes on"),
    Column("generation", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"], name="aliases_version"),
)

policies = Table(
    "policies",
    METADATA,
    Column("model", Text, ForeignKey("models.name"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("document", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
)

datasets = Table(
    "datasets",
    METADATA,
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

history = Table(
    "history",
    METADATA,
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
    Index("history_by_story", "correlation_id"),
)

rollouts = Table(
    "rollouts",
    METADATA,
    Column("rollout_id", Uuid, primary_key=True),
    Column("model", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Index("rollouts_by_model", "model", "occurred_at"),
)

api_keys = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("secret_hash", Text, nullable=False, comment="HMAC-SHA256; the secret is kept nowhere"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

avro_schemas = Table(
    "avro_schemas",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", Text, nullable=False, comment="SHA-256 of the normalised schema"),
    Column("fingerprint", Text, nullable=False, comment="CRC-64-AVRO, hexadecimal in wire order"),
    Column("text", Text, nullable=False, comment="as it was registered"),
    Column("created_at", UtcDateTime, nullable=False),
    Index("avro_schemas_by_identity", "identity"),
    Index("avro_schemas_by_fingerprint", "fingerprint"),
)

avro_subjects = Table(
    "avro_subjects",
    METADATA,
    Column("subject", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("schema_id", Integer, ForeignKey("avro_schemas.id"), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Index("avro_subjects_by_schema", "schema_id"),
)

avro_levels = Table(
    "avro_levels",
    METADATA,
    Column("subject", Text, primary_key=True, comment="empty: all others"),
    Column("level", Text, nullable=False),
)

avro_next_id = Table(
    "avro_next_id",
    METADATA,
    Column("counter", Integer, primary_key=True, autoincrement=False, comment="one row; its lock orders registrations"),
    Column("next_id", Integer, nullable=False),
)
