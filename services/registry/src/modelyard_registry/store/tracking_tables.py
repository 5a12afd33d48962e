"""Tables of experiments, runs and logged models."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from modelyard_registry.store.tables import METADATA
from modelyard_runtime.database import UtcDateTime

NUMBER: Final = "as text, exactly; also nan, inf and -inf"
COMPARED: Final = "NULL: not a number"

experiments = Table(
    "experiments",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("lifecycle", Text, nullable=False, comment="active or deleted"),
    Column("tags", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("workspace", "name", name="experiments_name_once"),
)

runs = Table(
    "runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("experiment_id", Integer, ForeignKey("experiments.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("user_id", Text, nullable=False, comment="as the client states it"),
    Column("status", Text, nullable=False),
    Column("lifecycle", Text, nullable=False, comment="active or deleted"),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger),
    Column("created_by", Text, nullable=False, comment="identity of the key, or trainer"),
    Column("inputs", JSON, nullable=False, comment="datasets and logged models"),
    Column("outputs", JSON, nullable=False, comment="logged models"),
    Column("model", Text, comment="of a training run of the platform; NULL for all others"),
    Column("revision", BigInteger, comment="of the last event of a training run"),
    Column("version", Integer, comment="that the training run registered"),
    Index("runs_by_experiment", "experiment_id", "start_ms", "id"),
)

run_texts = Table(
    "run_texts",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("kind", Text, primary_key=True, comment="param or tag"),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

run_metrics = Table(
    "run_metrics",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("timestamp_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Text, primary_key=True, comment=NUMBER),
    Column("model_id", Text),
    Column("dataset_name", Text),
    Column("dataset_digest", Text),
    Index("run_metrics_by_model", "model_id"),
)

run_latest = Table(
    "run_latest",
    METADATA,
    Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("number", Text, nullable=False, comment=NUMBER),
    Column("value", Float, comment=COMPARED),
)

logged_models = Table(
    "logged_models",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("experiment_id", Integer, ForeignKey("experiments.id"), nullable=False),
    Column("source_run_id", Text, ForeignKey("runs.id")),
    Column("name", Text, nullable=False),
    Column("model_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("lifecycle", Text, nullable=False, comment="active or deleted"),
    Column("tags", JSON, nullable=False),
    Column("params", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
    Index("logged_models_by_experiment", "experiment_id", "created_at", "id"),
    Index("logged_models_by_run", "source_run_id"),
)

run_artifacts = Table(
    "run_artifacts",
    METADATA,
    Column("owner", Text, primary_key=True, comment="id of a run or of a logged model"),
    Column("path", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", UtcDateTime, nullable=False),
    Index("run_artifacts_by_digest", "digest"),
)
