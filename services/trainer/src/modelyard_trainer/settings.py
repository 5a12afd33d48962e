"""Settings of the service; read once, in app.py."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ClickHouseSettings, StatefulSettings


class Settings(StatefulSettings, ClickHouseSettings):
    """TRAINER_<FIELD>, and the variables that all services share."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8102, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/trainer")
    max_running: int = Field(1, ge=1, le=64)
    """Concurrent runs on this machine; they share one local Ray, unless RAY_ADDRESS is set."""
    ray_cpus: int = Field(2, ge=1)
    """CPUs of a local Ray, per concurrent run."""
    ray_idle_s: float = Field(120.0, ge=0)
    """Idle time after which a local Ray stops; 0: each run has its own Ray."""
    max_attempts: int = Field(3, ge=1)
    """Workers started for a run before it fails."""
    max_run_s: float = Field(3_600.0, gt=0)
    tick_s: float = Field(0.25, gt=0)
    """Interval between checks of running workers."""
    keep_run_dirs: int = Field(50, ge=1)
    """Number of newest folders of ended runs to keep."""
    keep_run_days: float = Field(30.0, gt=0)
    """Age after which the folder of an ended run is deleted in any case."""
    cpu_hour_usd: float = Field(0.04, ge=0)
    """Price of one CPU for one hour; a run costs its time times `ray_cpus`."""
    recipes: dict[str, str] = Field(default_factory=dict)
    """Additional recipes, as JSON: {"name": "module:RECIPE"}."""
