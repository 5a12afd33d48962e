"""Settings, read once in app.py."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ClickHouseSettings, ProviderSettings, StatefulSettings


class Settings(StatefulSettings, ClickHouseSettings, ProviderSettings):
    """Variables are named EVALUATOR_<FIELD>, except those shared by all services."""

    model_config = SettingsConfigDict(env_prefix="EVALUATOR_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8103, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/evaluator")
    monitor_url: str = Field("http://127.0.0.1:8106", alias="MONITOR_URL", pattern=r"^https?://")
    """Where the evaluator asks for performance alarms of the champion."""
    monitor_timeout_s: float = Field(5.0, gt=0, le=60)
    """Longest wait for the monitor; without an answer the usual standard applies."""
    max_wait_s: float = Field(60.0, ge=0)
    """Longest wait of an evaluation for labelled rows before it is inconclusive."""
    scorer_memory_mib: float = Field(2_048.0, ge=128)
    """Resident memory of one scoring process; a challenger that needs more is rejected."""
    scorer_timeout_s: float = Field(120.0, gt=0)
    """CPU time of one scoring process; a challenger that needs more is rejected."""
    trial_memory_mib: int = Field(4_096, ge=128)
    """Private memory of the trial of a version that was made elsewhere; one that needs more is rejected."""
    trial_timeout_s: float = Field(300.0, gt=0)
    """Wall-clock time of a trial, including the load; a version that needs more is rejected. Loading torch and
    transformers takes ten seconds on a free core, and minutes on a machine with a tenth of one to spare."""
    trial_unconfined: bool = False
    """Try versions that were made elsewhere even where the kernel cannot confine their process."""
    zygote_idle_s: float = Field(120.0, ge=0)
    """How long the parent of the scoring processes stays alive without work; 0 starts every process from scratch."""
    keep_blobs_days: float = Field(7.0, ge=1)
    """How long a downloaded artifact stays in the cache without use."""
