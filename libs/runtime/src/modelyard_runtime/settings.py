"""Settings: one frozen class per service, read once at the start; errors name the field."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from modelyard_contracts.keyring import InvalidKeyRing, KeyRingFile
from modelyard_contracts.sentences import problem_of
from modelyard_runtime.errors import StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka_settings import KafkaSettings
from modelyard_runtime.provider_keys import ProviderKeys
from modelyard_runtime.signing import EventSigner, Gate, TrustFile
from modelyard_runtime.signing.files import open_signer, open_trust
from modelyard_runtime.tls import check_ca_file

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

EXIT_BAD_SETTINGS = 2
MIN_KEY_CHARS = 16
MAX_PORT = 65_535


class ServiceSettings(KafkaSettings):
    """Settings of every service. A subclass sets `env_prefix` and the default of `port`.

    Fields with an alias are shared by all services and have no prefix; the others are `<PREFIX><FIELD>`.
    """

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    registry_url: str = Field("http://127.0.0.1:8101", alias="REGISTRY_URL", pattern=r"^https?://")
    service_key_file: Path | None = Field(None, alias="MODELYARD_SERVICE_KEY_FILE")
    """File with this service's own key, for its calls to other services."""
    admin_key_file: Path | None = Field(None, alias="MODELYARD_ADMIN_KEY_FILE")
    """File with the admin key. For the registry; elsewhere only until every service has a key of its own."""
    signing_key_file: Path | None = Field(None, alias="MODELYARD_SIGNING_KEY_FILE")
    """Key ring with the private keys that sign this service's events, the current one first."""
    trust_file: Path | None = Field(None, alias="MODELYARD_TRUST_FILE")
    """Trust document: who may sign which events. Without it, events of any writer are applied."""
    ca_file: Path | None = Field(None, alias="SSL_CERT_FILE")
    """Certificate authorities (PEM) for calls to https URLs: other services, ClickHouse; else those of the system."""
    log_level: str = Field("INFO", alias="MODELYARD_LOG_LEVEL", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes any free port; `ready http://HOST:PORT` on stdout reports it."""
    data_dir: Path = Path(".modelyard/data")
    """The service's own folder."""

    @field_validator("ca_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("port")
    @classmethod
    def _is_a_port(cls, value: int) -> int:
        """A validator, not a bound of the field: a subclass redefines the field for its default."""
        if not 0 <= value <= MAX_PORT:
            raise ValueError(f"must be 0 to {MAX_PORT}")
        return value

    @property
    def admin_key(self) -> str:
        """The admin key; StartupError when the file is missing or the key too short."""
        if self.admin_key_file is None:
            raise StartupError("MODELYARD_ADMIN_KEY_FILE: required; name the file with the admin key")
        return read_key(self.admin_key_file, "MODELYARD_ADMIN_KEY_FILE")

    @property
    def service_key(self) -> str:
        """The key for calls to other services; StartupError when its file cannot be used."""
        if self.service_key_file is not None:
            return read_key(self.service_key_file, "MODELYARD_SERVICE_KEY_FILE")
        if self.admin_key_file is not None:
            return self.admin_key
        raise StartupError("MODELYARD_SERVICE_KEY_FILE: required; name the file with the key of this service")

    def check_files(self) -> None:
        """Read every key and secret once, so that a start without one fails at once. Extend it in a subclass."""
        _ = self.service_key
        _ = self.brokers
        _ = self.trust()
        check_ca_file(self.ca_file)

    def signer(self, service: str) -> EventSigner | None:
        """Signs the events of this service; None without a key. StartupError if readers would refuse its events."""
        return open_signer(service, self.signing_key_file, self.trust_file)

    def trust(self) -> TrustFile | None:
        """The trust document; None without the setting."""
        return None if self.trust_file is None else open_trust(self.trust_file)

    def gate(self, service: str, readiness: Readiness) -> Gate:
        """Check of received events, which reports in the readiness."""
        file = self.trust()
        return Gate(service, None if file is None else lambda: file.trust, readiness)


class DatabaseSettings(BaseSettings):
    """Mixin of a service that owns tables."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    database_url: SecretStr | None = None
    """SQLAlchemy URL, sqlite:///... or postgresql://...; None is a SQLite file in data_dir."""
    inbox_keep_days: float | None = None
    """Days for which handled events are remembered; None: the longest retention of a topic and 14 days. Set it if a
    topic's retention was raised on the broker."""

    @field_validator("inbox_keep_days")
    @classmethod
    def _outlasts_the_events(cls, value: float | None) -> float | None:
        """If a claim is deleted earlier, a repeated event has its effect twice."""
        from modelyard_runtime.inbox import longest_retention

        least = longest_retention() / timedelta(days=1)
        if value is not None and not value >= least:
            raise ValueError(f"must be at least {least:g}, the days that the broker keeps events")
        return value

    @property
    def inbox_keep(self) -> timedelta:
        """Age after which a claim may be deleted."""
        from modelyard_runtime.inbox import claims_kept

        return claims_kept() if self.inbox_keep_days is None else timedelta(days=self.inbox_keep_days)

    @property
    def resolved_database_url(self) -> str:
        """The URL to open; creates the folder of the default file."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        folder = Path(getattr(self, "data_dir", ".modelyard/data"))
        folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{folder.resolve() / 'service.db'}"


class StatefulSettings(ServiceSettings, DatabaseSettings):
    """Settings of a service that owns tables and reads topics; see assembly.Assembly."""

    replay_file: Path | None = Field(None, alias="MODELYARD_REPLAY_FILE")
    """Written by a backtest: policies count in the time of its data; see policy_time. Never set in production."""


class ProviderSettings(BaseSettings):
    """Mixin of a service that starts processes which call providers of models."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    provider_keys_dir: Path | None = Field(None, alias="PROVIDER_KEYS_DIR")
    """Folder with the keys of providers, one file each, named like the secret of a connection; read at every use."""
    provider_key_names: str = Field("", alias="PROVIDER_KEYS", pattern=r"^[A-Z0-9_, ]*$")
    """Environment variables, separated by commas, that are available as keys of providers; no other is."""

    @property
    def provider_keys(self) -> ProviderKeys:
        names = frozenset(name.strip() for name in self.provider_key_names.split(",") if name.strip())
        return ProviderKeys(self.provider_keys_dir, names)


class ClickHouseSettings(BaseSettings):
    """Mixin of a service that reads or writes ClickHouse."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    clickhouse_url: str = Field("http://127.0.0.1:8123", alias="CLICKHOUSE_URL", pattern=r"^https?://")
    clickhouse_user: str = Field("default", alias="CLICKHOUSE_USER")
    clickhouse_password: SecretStr = Field(SecretStr(""), alias="CLICKHOUSE_PASSWORD")
    clickhouse_database: str = Field("ml", alias="CLICKHOUSE_DATABASE")


def read_key(path: Path, variable: str) -> str:
    """The key in `path`, stripped; StartupError names the variable and the remedy."""
    remedy = f"write a key of at least {MIN_KEY_CHARS} characters into it, such as the output of `openssl rand -hex 32`"
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise StartupError(f"{variable}: cannot read {path} ({error.strerror}); {remedy}") from error
    if len(key) < MIN_KEY_CHARS:
        raise StartupError(f"{variable}: the key in {path} is shorter than {MIN_KEY_CHARS} characters; {remedy}")
    return key


def open_key_ring(path: Path | None, variable: str) -> KeyRingFile:
    """The key ring in a file; StartupError names the variable and the remedy."""
    remedy = "write lines `id:secret` into it, the current secret first"
    if path is None:
        raise StartupError(f"{variable}: required; name a file, and {remedy}")
    try:
        return KeyRingFile(path)
    except OSError as error:
        raise StartupError(f"{variable}: cannot read {path} ({error.strerror}); {remedy}") from error
    except InvalidKeyRing as error:
        raise StartupError(f"{variable}: {path}: {error}") from error


def load_settings(cls: type[SettingsT]) -> SettingsT:
    """Read the environment; on bad settings print one line per field to stderr and exit with code 2."""
    try:
        settings = cls()
        if isinstance(settings, ServiceSettings):
            settings.check_files()
    except ValidationError as error:
        _fail(*complaints_of(cls, error))
    except SettingsError as error:
        _fail(_no_json(cls, error))
    except StartupError as error:
        _fail(str(error))
    return settings


def complaints_of(cls: type[BaseSettings], error: ValidationError) -> list[str]:
    """One line per field that is wrong, with its variable."""
    return [_line(cls, dict(item)) for item in error.errors()]


def variable_of(cls: type[BaseSettings], name: str) -> str:
    """The environment variable that sets the field `name`."""
    field: FieldInfo | None = cls.model_fields.get(name)
    if field is not None and isinstance(field.validation_alias, str):
        return field.validation_alias
    if field is not None and isinstance(field.validation_alias, AliasChoices):
        return str(field.validation_alias.choices[0])
    return f"{cls.model_config.get('env_prefix', '')}{name}".upper()


def _line(cls: type[BaseSettings], item: dict[str, object]) -> str:
    where = item["loc"]
    first = str(where[0]) if isinstance(where, tuple) and where else "settings"
    by_variable = {variable_of(cls, name).upper(): name for name in cls.model_fields}
    name = by_variable.get(first.upper(), first)
    variable = variable_of(cls, name)
    if item["type"] == "missing":
        return f"{name}: required; set the environment variable {variable}"
    given = item.get("input")
    shown = "" if given is None or "password" in name or "url" in name else f" (it is {given!r})"
    return f"{name}: {problem_of(item)}{shown}; correct the environment variable {variable}"


def _no_json(cls: type[BaseSettings], error: SettingsError) -> str:
    """Error of a field whose variable is not JSON; the library names the field in its text only."""
    name = next((name for name in cls.model_fields if f'"{name}"' in str(error)), "settings")
    return f"{name}: not JSON ({error.__cause__ or error}); correct the environment variable {variable_of(cls, name)}"


def _fail(*lines: str) -> None:
    for line in lines:
        print(f"bad settings: {line}", file=sys.stderr)
    raise SystemExit(EXIT_BAD_SETTINGS)
