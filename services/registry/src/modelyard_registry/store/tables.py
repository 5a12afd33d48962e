"""The registry's tables. The migrations create them; a test keeps both equal."""

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
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from modelyard_runtime.database import UtcDateTime, metadata_tables
from modelyard_runtime.tables import add_changes_table

METADATA: Final = MetaData()
metadata_tables(METADATA)
add_changes_table(METADATA)

resources = Table(
    "resources",
    METADATA,
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

versions = Table(
    "versions",
    METADATA,
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
    Column("framework", Text, comment="that wrote the files, without its version"),
    Column("license", Text),
    Column("source_kind", Text, comment="NULL: made by a training run"),
    Column("scan_verdict", Text, comment="NULL: not scanned"),
    Column("scan_rules", Text, comment="version of the rules of the last scan"),
    Column("card_digest", Text, comment="of the card at the first approval"),
    Column("labels_revision", Integer, nullable=False, server_default="0", comment="changes of tags and semver"),
    UniqueConstraint("resource_id", "digest", name="versions_digest_once"),
    UniqueConstraint("resource_id", "idempotency_key", name="versions_key_once"),
    UniqueConstraint("resource_id", "semver", name="versions_semver_once"),
    Index("versions_by_digest", "digest"),
    Index("versions_by_stage", "resource_id", "stage"),
    Index("versions_by_task", "resource_id", "task"),
    Index("versions_in_lists", "resource_id", "version", "task", "flavour"),
    Index("versions_by_stage_and_time", "stage", "created_at", "resource_id", "version"),
    Index("versions_by_scan_rules", "scan_rules"),
    Index("versions_by_run", "run_id"),
)

stage_counts = Table(
    "stage_counts",
    METADATA,
    Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
    Column("stage", Text, primary_key=True),
    Column("versions", Integer, nullable=False, comment="kept by triggers on versions"),
)

version_files = Table(
    "version_files",
    METADATA,
    Column("resource_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("path", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="version_files_version"
    ),
    Index("version_files_by_digest", "digest"),
)

scan_reports = Table(
    "scan_reports",
    METADATA,
    Column("resource_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rules_version", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("report", JSON, nullable=False),
    Column("scanned_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(
        ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="scan_reports_version"
    ),
)

version_tensors = Table(
    "version_tensors",
    METADATA,
    Column("resource_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False, comment="0 is the largest tensor"),
    Column("name", Text, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("shape", JSON, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False, comment="of type, shape and values; 32 hexadecimal digits"),
    ForeignKeyConstraint(
        ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="version_tensors_version"
    ),
    Index("version_tensors_by_digest", "digest"),
)

card_revisions = Table(
    "card_revisions",
    METADATA,
    Column("resource_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("prose", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(
        ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="card_revisions_version"
    ),
)

card_releases = Table(
    "card_releases",
    METADATA,
    Column("resource_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False, comment="of the prose; 0: none was written"),
    Column("card", LargeBinary, nullable=False, comment="canonical JSON at the first approval"),
    Column("digest", Text, nullable=False, comment="SHA-256 of the card"),
    Column("released_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(
        ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="card_releases_version"
    ),
)

version_lineage = Table(
    "version_lineage",
    METADATA,
    Column("resource_id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("relation", Text, primary_key=True, comment="dataset, base_model or connection"),
    Column("target", Text, primary_key=True),
    ForeignKeyConstraint(
        ["resource_id", "version"], ["versions.resource_id", "versions.version"], name="version_lineage_version"
    ),
    Index("version_lineage_by_target", "relation", "target", "resource_id", "version"),
)

connections = Table(
    "connections",
    METADATA,
    Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Column("document", JSON(none_as_null=True), comment="NULL: deleted; the revision continues"),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", Text, nullable=False),
)

signatures = Table(
    "signatures",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("feature_schema_id", Text, primary_key=True),
    Column("digest", Text, nullable=False, comment="SHA-256 of the signature's canonical JSON"),
)

aliases = Table(
    "aliases",
    METADATA,
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

policies = Table(
    "policies",
    METADATA,
    Column("resource_id", Integer, ForeignKey("resources.id"), primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("document", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
)

history = Table(
    "history",
    METADATA,
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
    Index("history_by_timeline", "correlation_id"),
    Index("history_by_time", "recorded_at", "resource_id", "position"),
    Index("history_by_actor", "actor", "recorded_at", "resource_id", "position"),
    Index("history_by_version", "resource_id", "version"),
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
