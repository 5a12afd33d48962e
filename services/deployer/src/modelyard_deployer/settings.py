"""Settings, read once in app.py."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import StatefulSettings


class Settings(StatefulSettings):
    """Variables are DEPLOYER_<FIELD>, but for those shared by all services."""

    model_config = SettingsConfigDict(env_prefix="DEPLOYER_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8104, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/deployer")
    monitor_url: str = Field("http://127.0.0.1:8106", alias="MONITOR_URL", pattern=r"^https?://")
    replica_host: str = "127.0.0.1"
    """Where model servers listen; 0.0.0.0 in a container whose routers are elsewhere."""
    replica_advertised_host: str | None = None
    """The name by which routers reach them; without it, `replica_host`."""
    replicas_per_version: int = Field(1, ge=1, le=64)
    stop_replicas_on_exit: bool = False
    """False: replicas go on serving while the deployer is away, and the next one takes them up."""
    drain_s: float = Field(5.0, ge=0)
    """Between a version's last share of traffic and the end of its replicas; above the route's time-out."""
    start_timeout_s: float = Field(60.0, gt=0)
    """From a replica's start to its first answer."""
    prepare_timeout_s: float = Field(300.0, gt=0)
    """From the beginning of a rollout to a ready replica, download included."""
    apply_wait_s: float = Field(10.0, gt=0)
    """How long a rollout's end waits for silent routers."""
    look_every_s: float = Field(1.0, gt=0)
    """Between two looks at a canary; the analysis allows any number of them."""
    zygote_idle_s: float = Field(120.0, ge=0)
    """How long the parent that replicas are forked from stays without work; 0 starts each from nothing."""
    keep_rollback_versions: int = Field(3, ge=1)
    """Of each route, versions that served before whose files stay here: back to them without the registry."""
    keep_model_folders: int = Field(5, ge=0)
    """Folders of versions that neither serve nor are a roll-back's target, all models together, the newest."""
    keep_blobs_days: float = Field(7.0, ge=1)
    """How long a downloaded file that no new replica needed stays in the cache."""
