"""What the router is told from outside."""

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read once, in __main__; everything else is handed the values it needs."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8105, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/router")
    """Spool, router id and the last applied tables; one router per folder."""
    spool_max_bytes: PositiveInt = 4 << 30
    """Of predictions and feedback that Kafka has not taken; when full, requests are answered 503."""
    spool_fsync: bool = False
    """True: an answer waits until its log is on the disk, not only with the operating system."""
    ship_interval_ms: PositiveInt = 200
    """How long records may wait to leave together."""
    max_body_bytes: PositiveInt = 1 << 20
    """Of a prediction or a feedback."""
    max_infer_body_bytes: PositiveInt = 16 << 20
    """Of a /v2 request, which may hold many rows."""
    max_rows: PositiveInt = 10_000
    """In one /v2 or feedback request."""
    max_in_flight: PositiveInt = 1_024
    """Requests at once; more are answered 503 with Retry-After."""
    max_connections: PositiveInt = 64
    """To each replica."""
    connect_timeout_ms: PositiveFloat = 1_000
    read_timeout_ms: PositiveFloat = 10_000
    """For a request's body to arrive."""
    remember_key_s: PositiveFloat = 5.0
    """How long a checked key is not checked again; also how long a revoked one still works here at most, above the
    registry's own memory."""
