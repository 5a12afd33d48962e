"""Settings, read once in app.py."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_contracts.tokens import serving_token
from modelyard_deployer.workloads.tokens import ServingTokens
from modelyard_runtime.settings import ProviderSettings, StatefulSettings, open_key_ring


class Settings(StatefulSettings, ProviderSettings):
    """Variables are DEPLOYER_<FIELD>, except those shared by all services."""

    model_config = SettingsConfigDict(env_prefix="DEPLOYER_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8104, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/deployer")
    monitor_url: str = Field("http://127.0.0.1:8106", alias="MONITOR_URL", pattern=r"^https?://")
    serving_token_file: Path | None = Field(None, alias="SERVING_TOKEN_FILE")
    """Key ring with the tokens that model servers accept; the same as the router's. If unset, the token is derived from
    the admin key."""
    replica_host: str = "127.0.0.1"
    """Address that model servers listen on; 0.0.0.0 in a container whose routers run elsewhere."""
    replica_advertised_host: str | None = None
    """Host name that routers connect to; by default `replica_host`."""
    replicas_per_version: int = Field(1, ge=1, le=64)
    replica_memory_mib: int = Field(4096, ge=0)
    """Limit of a replica's private memory (Linux); 0 disables it."""
    allow_unconfined: bool = False
    """Serve versions that others made even on machines that cannot confine a process (no Landlock or no seccomp)."""
    stop_replicas_on_exit: bool = False
    """False: replicas keep serving while the deployer is stopped, and are adopted at its next start."""
    drain_s: float = Field(5.0, ge=0)
    """Time between a version's last traffic and the stop of its replicas; must exceed the timeout of the route."""
    start_timeout_s: float = Field(60.0, gt=0)
    """Limit from a replica's start to its first answer."""
    prepare_timeout_s: float = Field(300.0, gt=0)
    """Limit from the start of a rollout to a ready replica, including the download."""
    apply_wait_s: float = Field(10.0, gt=0)
    """How long a rollout step waits for live routers that do not acknowledge it, if another router has."""
    evidence_every_s: float = Field(1.0, gt=0)
    """Interval between two checks of a canary; the analysis allows any number of them."""
    zygote_idle_s: float = Field(120.0, ge=0)
    """Idle time after which the parent process that replicas are forked from exits; 0 disables it."""
    keep_rollback_versions: int = Field(3, ge=1)
    """Per route, earlier champions whose files are kept: a roll-back to them needs no registry."""
    keep_model_folders: int = Field(5, ge=0)
    """Folders kept of versions that neither serve nor are roll-back targets: the newest over all models."""
    keep_blobs_days: float = Field(7.0, ge=1)
    """How long a downloaded file that no new replica used stays in the cache."""

    def check_files(self) -> None:
        super().check_files()
        serving_tokens(self)


def serving_tokens(settings: Settings) -> ServingTokens:
    """Tokens of the model servers; StartupError when there is neither a usable key ring nor an admin key."""
    if settings.serving_token_file is None and settings.admin_key_file is not None:
        return ServingTokens(serving_token(settings.admin_key))
    ring = open_key_ring(settings.serving_token_file, "SERVING_TOKEN_FILE")
    return ServingTokens("", settings.serving_token_file, ring)
