"""Settings, read once in app.py."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ClickHouseSettings, StatefulSettings


class Settings(StatefulSettings, ClickHouseSettings):
    """Variables are EVALUATOR_<FIELD>, but for those shared by all services."""

    model_config = SettingsConfigDict(env_prefix="EVALUATOR_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8103, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/evaluator")
    max_wait_s: float = Field(60.0, ge=0)
    """How long an evaluation waits for labelled rows before it is inconclusive."""
    scorer_memory_mib: float = Field(2_048.0, ge=128)
    """Resident memory of one scoring process; a challenger that needs more is rejected."""
    scorer_timeout_s: float = Field(120.0, gt=0)
    """Processor time of one scoring process; a challenger that needs more is rejected."""
    zygote_idle_s: float = Field(120.0, ge=0)
    """How long the parent that scoring processes are forked from stays without work; 0 starts each from nothing."""
    keep_blobs_days: float = Field(7.0, ge=1)
    """How long a downloaded artifact that no evaluation needed stays in the cache."""
