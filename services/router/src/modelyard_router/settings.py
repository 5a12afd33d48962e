"""Settings of the router, from the environment."""

import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from pydantic_settings import SettingsConfigDict

from modelyard_contracts.keyring import KeyRingFile, Secret
from modelyard_contracts.tokens import serving_token
from modelyard_router.domain.addresses import DEFAULT, AllowedAddresses
from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import ServiceSettings, open_key_ring


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
    remember_key_s: PositiveFloat = 1.0
    """Cache time of a verified key. A revoked key works for at most this long, plus the cache time of the runtime."""
    entity_secret_file: Path | None = None
    """Key ring that hashes entity keys in the log. Without it the secret is derived from the admin key."""
    serving_token_file: Path | None = Field(None, alias="SERVING_TOKEN_FILE")
    """Key ring whose current secret is sent to model servers. Without it the token is derived from the admin key."""
    upstream_ca_file: Path | None = None
    """Certificate authorities (PEM) for replicas with https URLs; without it, those of the system."""
    upstream_networks: str = DEFAULT
    """Where model servers may be, separated by commas: networks (10.0.0.0/8), host names, domains (*.example.com), and
    <local> for names without a dot. A route with another address is refused."""
    stream_stall_ms: PositiveFloat = 10_000
    """Longest pause between two pieces of a generated text."""
    stream_total_ms: PositiveFloat = 600_000
    """Longest generated answer."""
    text_policy: Literal["none", "hash", "full"] = "none"
    """How much of generated texts the log holds."""
    max_shadow_copies: PositiveInt = 32
    """Concurrent copies of requests for shadow versions; further ones are dropped and counted."""

    @field_validator("upstream_networks")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        AllowedAddresses.parse(value)
        return value

    @property
    def allowed_addresses(self) -> AllowedAddresses:
        return AllowedAddresses.parse(self.upstream_networks)

    def check_files(self) -> None:
        super().check_files()
        for path, variable in (
            (self.entity_secret_file, "ROUTER_ENTITY_SECRET_FILE"),
            (self.serving_token_file, "SERVING_TOKEN_FILE"),
        ):
            if path is not None:
                open_key_ring(path, variable)
        if self.entity_secret_file is None or self.serving_token_file is None:
            _ = self.admin_key

    def entity_secrets(self) -> Callable[[], Secret]:
        """The current secret that hashes entity keys, read again after a rotation."""
        if self.entity_secret_file is not None:
            return _current_of(open_key_ring(self.entity_secret_file, "ROUTER_ENTITY_SECRET_FILE"))
        derived = Secret("0", hashlib.sha256(b"modelyard-entity:" + self.admin_key.encode()).hexdigest())
        return lambda: derived

    def serving_secrets(self) -> Callable[[], Secret]:
        """The current token for model servers, read again after a rotation."""
        if self.serving_token_file is not None:
            return _current_of(open_key_ring(self.serving_token_file, "SERVING_TOKEN_FILE"))
        derived = Secret("0", serving_token(self.admin_key))
        return lambda: derived

    def upstream_tls(self) -> ssl.SSLContext | None:
        """Verifies replicas; StartupError when the file cannot be used."""
        if self.upstream_ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=str(self.upstream_ca_file))
        except (OSError, ssl.SSLError) as error:
            raise StartupError(
                f"ROUTER_UPSTREAM_CA_FILE: cannot use {self.upstream_ca_file}: {error}; give certificates in PEM"
            ) from error


def _current_of(file: KeyRingFile) -> Callable[[], Secret]:
    return lambda: file.ring.current
