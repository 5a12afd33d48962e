"""Settings, read once in app.py."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import DatabaseSettings, ServiceSettings
from modelyard_runtime.tls import check_ca_file

URL = r"^https?://"


class Settings(ServiceSettings, DatabaseSettings):
    """Variables are named CONSOLE_<FIELD>, except those shared by all services."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8100, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/console")
    trainer_url: str = Field("http://127.0.0.1:8102", alias="TRAINER_URL", pattern=URL)
    evaluator_url: str = Field("http://127.0.0.1:8103", alias="EVALUATOR_URL", pattern=URL)
    deployer_url: str = Field("http://127.0.0.1:8104", alias="DEPLOYER_URL", pattern=URL)
    router_url: str = Field("http://127.0.0.1:8105", alias="ROUTER_URL", pattern=URL)
    monitor_url: str = Field("http://127.0.0.1:8106", alias="MONITOR_URL", pattern=URL)
    session_idle_h: float = Field(12.0, gt=0)
    """Hours without a request after which a session ends."""
    session_max_h: float = Field(168.0, gt=0)
    """Hours after which a session ends in any case."""
    secure_cookies: bool = False
    """True where browsers reach the console over https: cookies are then never sent without it."""
    call_timeout_s: float = Field(10.0, gt=0)
    """For connecting to a service and for each read; a page shows what the other services answered."""
    max_upload_bytes: int = Field(256 << 20, gt=0)
    """Largest file that a form accepts."""
    max_uploads_bytes: int = Field(4 << 30, gt=0)
    """All uploaded files that wait for their training run, together."""
    max_model_upload_bytes: int = Field(2 << 30, gt=0)
    """Files of a model that a form accepts, together; also of an archive after it was unpacked."""
    max_model_uploads_bytes: int = Field(8 << 30, gt=0)
    """All uploaded models that wait for their registration, together."""
    registering_timeout_s: float = Field(600.0, gt=0)
    """For one call of a registration: finalizing scans all files of the version."""
    upload_keep_h: float = Field(24.0, gt=0)
    """Hours after which an uploaded file is deleted."""
    max_upload_cells: int = Field(10_000_000, gt=0)
    """Rows times columns of an uploaded file."""
    reading_timeout_s: float = Field(120.0, gt=0)
    """For reading an uploaded file once."""
    reading_memory_bytes: int = Field(4 << 30, gt=0)
    """Address space of the process that reads an uploaded file."""

    @property
    def urls(self) -> dict[str, str]:
        """Address by service."""
        names = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
        return {name: getattr(self, f"{name}_url") for name in names}

    @property
    def session_idle(self) -> timedelta:
        return timedelta(hours=self.session_idle_h)

    @property
    def session_max(self) -> timedelta:
        return timedelta(hours=self.session_max_h)

    def check_files(self) -> None:
        """The console neither reads nor writes topics, so it needs no Kafka and no trust document."""
        _ = self.service_key
        check_ca_file(self.ca_file)
