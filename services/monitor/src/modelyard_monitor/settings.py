"""Settings of the monitor; read once, in app.py."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from modelyard_contracts.keyring import KeyRingFile
from modelyard_runtime.settings import ClickHouseSettings, ServiceSettings, open_key_ring

Role = Literal["api", "ingest", "detect"]


class Settings(ServiceSettings, ClickHouseSettings):
    """Environment variables MONITOR_<FIELD>, and those that all services share."""

    model_config = SettingsConfigDict(env_prefix="MONITOR_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8106, ge=0, le=65535)
    roles: Annotated[tuple[Role, ...], NoDecode] = ("api", "ingest", "detect")
    """Parts that this process runs, separated by commas; `detect` runs as a supervised child process."""

    state_secret_file: Path | None = None
    """Key ring that signs the detector states; lines `id:secret`, the current secret first. Needed by `detect`."""

    batch_rows: PositiveInt = 20_000
    """Largest number of records of one partition in one insert."""
    batch_bytes: PositiveInt = 16_000_000
    flush_s: PositiveFloat = 1.0
    """Longest time that a record waits for others of its partition."""
    label_grace_s: NonNegativeFloat = 10.0
    """A label younger than this waits for its prediction; an older one is stored and joined later."""
    late_join_every_s: PositiveFloat = 5.0
    late_join_days: PositiveInt = 30
    """Older labels are no longer joined."""

    psi_window_rows: int = Field(500, ge=100)
    psi_floor: PositiveFloat = 0.1
    """Smallest PSI beyond its bias that is reported."""
    psi_fdr: float = Field(0.01, gt=0, lt=0.5)
    """False discovery rate over the features of one window (Benjamini-Hochberg)."""
    micro_batch_rows: int = Field(100, ge=10)
    """Rows per mean that ADWIN observes."""
    error_window_labels: int = Field(500, ge=50)
    error_rise: PositiveFloat = 0.03
    """Smallest absolute rise of the error rate that is reported."""
    absolute_error_rise: PositiveFloat = 0.15
    """Smallest relative rise of the mean absolute error that is reported."""
    errors_in_bursts: bool = False
    """Take errors as correlated: for traffic that asks about the same entity many times in a row. Fewer alarms of the
    error, and later ones."""
    alarm_days: PositiveFloat = Field(7.0, le=400)
    """Days after its newest event when a performance alarm expires."""
    rearm_rows: int = Field(2_000, ge=0)
    """Rows after a report in which the same finding is not reported again unless it gets worse."""

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    def state_secrets(self) -> KeyRingFile:
        """Return the key ring of the detector states; StartupError when its file cannot be used."""
        return open_key_ring(self.state_secret_file, "MONITOR_STATE_SECRET_FILE")

    def check_files(self) -> None:
        """Read every key and secret once, so that a start without one fails at once."""
        super().check_files()
        if "detect" in self.roles:
            self.state_secrets()
