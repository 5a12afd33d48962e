"""Settings of the router, from the environment."""

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read once, in __main__; everything else is passed the values it needs."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_", frozen=True, populate_by_name=True, extra="ignore")

    port: int = Field(8105, ge=0, le=65535)
    data_dir: Path = Path(".modelyard/data/router")
    """Spool, router id and the last applied tables; one router per folder."""
    spool_max_bytes: PositiveInt = 4 << 30
    """Predictions and feedback that are not in Kafka yet; when full, requests are answered 503."""
    spool_fsync: bool = False
    """True: an answer waits until its record is on the disk, not only with the operating system."""
    ship_interval_ms: PositiveInt = 200
    """How long records may wait to be sent together."""
    max_body_bytes: PositiveInt = 1 << 20
    """Body of a prediction or of feedback."""
    max_infer_body_bytes: PositiveInt = 16 << 20
    """Body of a /v2 request, which may hold many rows."""
    max_rows: PositiveInt = 10_000
    """Rows of one /v2 request, labels of one feedback request."""
    max_in_flight: PositiveInt = 1_024
    """Concurrent requests; further ones are answered 503 with Retry-After."""
    max_connections: PositiveInt = 64
    """Connections to each replica."""
    connect_timeout_ms: PositiveFloat = 1_000
    read_timeout_ms: PositiveFloat = 10_000
    """For the body of a request to arrive."""
    remember_key_s: PositiveFloat = 5.0
    """Cache time of a verified key. A revoked key works for at most this long, plus the cache time of the runtime."""
