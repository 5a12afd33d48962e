"""Experiments, runs with parameters, metrics, tags and artifacts, and logged models.

Kind: expand (old code ignores the tables). Locks: writes to versions wait while the index over their runs is built,
about a second per million rows. Undo: downgrade.
"""

from typing import Final

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Integer, Text, UniqueConstraint

from modelyard_runtime.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES: Final = (
    "run_artifacts",
    "logged_models",
    "run_latest",
    "run_metrics",
    "run_texts",
    "runs",
    "experiments",
)
NUMBER: Final = "as text, exactly; also nan, inf and -inf"


def upgrade() -> None:
    _experiments()
    _runs()
    _values()
    _logged_models()
    op.create_index("versions_by_run", "versions", ["run_id"])


def _experiments() -> None:
    op.create_table(
        "experiments",
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


def _runs() -> None:
    op.create_table(
        "runs",
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
    )
    op.create_index("runs_by_experiment", "runs", ["experiment_id", "start_ms", "id"])


def _values() -> None:
    op.create_table(
        "run_texts",
        Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
        Column("kind", Text, primary_key=True, comment="param or tag"),
        Column("key", Text, primary_key=True),
        Column("value", Text, nullable=False),
    )
    op.create_table(
        "run_metrics",
        Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
        Column("key", Text, primary_key=True),
        Column("step", BigInteger, primary_key=True, autoincrement=False),
        Column("timestamp_ms", BigInteger, primary_key=True, autoincrement=False),
        Column("number", Text, primary_key=True, comment=NUMBER),
        Column("model_id", Text),
        Column("dataset_name", Text),
        Column("dataset_digest", Text),
    )
    op.create_index("run_metrics_by_model", "run_metrics", ["model_id"])
    op.create_table(
        "run_latest",
        Column("run_id", Text, ForeignKey("runs.id"), primary_key=True),
        Column("key", Text, primary_key=True),
        Column("step", BigInteger, nullable=False),
        Column("timestamp_ms", BigInteger, nullable=False),
        Column("number", Text, nullable=False, comment=NUMBER),
        Column("value", Float, comment="NULL: not a number"),
    )


def _logged_models() -> None:
    op.create_table(
        "logged_models",
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
    )
    op.create_index("logged_models_by_experiment", "logged_models", ["experiment_id", "created_at", "id"])
    op.create_index("logged_models_by_run", "logged_models", ["source_run_id"])
    op.create_table(
        "run_artifacts",
        Column("owner", Text, primary_key=True, comment="id of a run or of a logged model"),
        Column("path", Text, primary_key=True),
        Column("digest", Text, nullable=False),
        Column("size_bytes", BigInteger, nullable=False),
        Column("stored_at", UtcDateTime, nullable=False),
    )
    op.create_index("run_artifacts_by_digest", "run_artifacts", ["digest"])


def downgrade() -> None:
    op.drop_index("versions_by_run", "versions")
    for name in TABLES:
        op.drop_table(name)
