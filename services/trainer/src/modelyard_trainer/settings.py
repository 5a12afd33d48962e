"""Read once, in app.py; everything else is handed the values it needs."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ClickHouseSettings, StatefulSettings


class Settings(StatefulSettings, ClickHouseSettings):
    """TRAINER_<FIELD>, and the names all services share."""

    model_config = SettingsConfigDict(env_prefix="TRAINER_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8102, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/trainer")
    max_running: int = Field(1, ge=1, le=64)
    """Runs at one time on this machine; together they have one local Ray, unless RAY_ADDRESS is set."""
    ray_cpus: int = Field(2, ge=1)
    """Of a local Ray."""
    ray_idle_s: float = Field(120.0, ge=0)
    """How long a local Ray stays for the next run; 0: each run has one of its own."""
    max_attempts: int = Field(3, ge=1)
    """Workers started for one run before it fails."""
    max_run_s: float = Field(3_600.0, gt=0)
    tick_s: float = Field(0.25, gt=0)
    """How often running workers are looked at."""
    keep_run_dirs: int = Field(50, ge=1)
    """Folders of ended runs that are kept for people, the newest."""
    keep_run_days: float = Field(30.0, gt=0)
    """After it the folder of an ended run goes even if it is among them."""
    cpu_hour_usd: float = Field(0.04, ge=0)
    """Price of one CPU for an hour; a run costs its time times `ray_cpus`."""
    recipes: dict[str, str] = Field(default_factory=dict)
    """Recipes besides the built-in ones, as JSON: {"name": "module:RECIPE"}."""
