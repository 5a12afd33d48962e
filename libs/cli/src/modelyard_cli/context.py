"""Which platform a command talks to: the one the environment names, or the local stack of a folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from modelyard import (
    ApiClient,
    DeployerClient,
    EvaluatorClient,
    MonitorClient,
    RegistryClient,
    RouterClient,
    TrainerClient,
)
from modelyard_cli.stack.layout import CONSOLE, SERVICES, StackError
from modelyard_cli.stack.state import running_state

if TYPE_CHECKING:
    from modelyard_runtime.brokers import Brokers


def kafka_of_environment() -> "Brokers":
    """Kafka with the credentials of the KAFKA_* variables; StackError names a wrong one."""
    from pydantic import ValidationError

    from modelyard_runtime.errors import StartupError
    from modelyard_runtime.kafka_settings import KafkaSettings
    from modelyard_runtime.settings import complaints_of

    try:
        return KafkaSettings().brokers
    except ValidationError as error:
        raise StackError("; ".join(complaints_of(KafkaSettings, error))) from error
    except StartupError as error:
        raise StackError(str(error)) from error


@dataclass(frozen=True)
class Platform:
    """Addresses and the key of one running platform."""

    urls: Mapping[str, str]
    token: str
    kafka_bootstrap: str
    clickhouse_url: str
    clickhouse_database: str
    clickhouse_user: str
    clickhouse_password: str
    data_dir: Path | None
    """Of the local stack; None when the environment names the platform."""
    kafka_given: bool = True
    """Whether it is a Kafka of the user's own, and no process of the local stack."""

    @classmethod
    def find(cls, data_dir: Path, environ: Mapping[str, str] = os.environ) -> Self:
        """The platform that REGISTRY_URL and its like name, else the stack that runs in `data_dir`."""
        return cls._from_environment(environ) if environ.get("REGISTRY_URL") else cls._from_stack(data_dir)

    @classmethod
    def _from_environment(cls, environ: Mapping[str, str]) -> Self:
        names = [f"{spec.name.upper()}_URL" for spec in SERVICES]
        names += ["MODELYARD_ADMIN_KEY_FILE", "KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL"]
        missing = [name for name in names if not environ.get(name)]
        if missing:
            raise StackError(f"REGISTRY_URL is set but {', '.join(missing)} is not; set all of them, or none")
        urls = {spec.name: environ[f"{spec.name.upper()}_URL"] for spec in SERVICES}
        if environ.get("CONSOLE_URL"):
            urls[CONSOLE.name] = environ["CONSOLE_URL"]
        return cls(
            urls=urls,
            token=_read_key(Path(environ["MODELYARD_ADMIN_KEY_FILE"])),
            kafka_bootstrap=environ["KAFKA_BOOTSTRAP_SERVERS"],
            clickhouse_url=environ["CLICKHOUSE_URL"],
            clickhouse_database=environ.get("CLICKHOUSE_DATABASE", "ml"),
            clickhouse_user=environ.get("CLICKHOUSE_USER", "default"),
            clickhouse_password=environ.get("CLICKHOUSE_PASSWORD", ""),
            data_dir=None,
        )

    @classmethod
    def _from_stack(cls, data_dir: Path) -> Self:
        state = running_state(data_dir)
        clickhouse = state["clickhouse"]
        return cls(
            urls={name: service["url"] for name, service in state["services"].items()},
            token=_read_key(Path(state["admin_key_file"])),
            kafka_bootstrap=state["kafka"]["bootstrap"],
            clickhouse_url=clickhouse["url"],
            clickhouse_database=clickhouse["database"],
            clickhouse_user=clickhouse["reader"]["user"],
            clickhouse_password=clickhouse["reader"]["password"],
            data_dir=data_dir,
            kafka_given=state["kafka"]["provider"] == "given",
        )

    @property
    def kafka(self) -> "Brokers":
        """Its addresses, and for a Kafka of the user's own the credentials of the environment."""
        from modelyard_runtime.brokers import Brokers, Security

        security = kafka_of_environment().security if self.kafka_given else Security()
        return Brokers(self.kafka_bootstrap, security)

    @property
    def registry(self) -> RegistryClient:
        return RegistryClient(self.urls["registry"], self.token)

    @property
    def trainer(self) -> TrainerClient:
        return TrainerClient(self.urls["trainer"], self.token)

    @property
    def evaluator(self) -> EvaluatorClient:
        return EvaluatorClient(self.urls["evaluator"], self.token)

    @property
    def deployer(self) -> DeployerClient:
        return DeployerClient(self.urls["deployer"], self.token)

    @property
    def router(self) -> RouterClient:
        return RouterClient(self.urls["router"], self.token)

    @property
    def monitor(self) -> MonitorClient:
        return MonitorClient(self.urls["monitor"], self.token)

    def ready(self, service: str) -> bool:
        """Whether it says that it can do its work."""
        with ApiClient(self.urls[service], self.token, timeout_s=3.0) as client:
            return client.ready()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a read-only query, as any analyst may ask it."""
        with self.clickhouse() as client:
            return list(client.query(sql, parameters=dict(parameters or {})).named_results())

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The same as an Arrow table, for many rows."""
        with self.clickhouse() as client:
            return client.query_arrow(sql, parameters=dict(parameters or {}), use_strings=True)

    def clickhouse(self) -> Any:
        """A connection of the reader, to close; for many queries in a row."""
        import clickhouse_connect

        from modelyard_runtime.tls import clickhouse_tls

        return clickhouse_connect.get_client(
            dsn=self.clickhouse_url,
            username=self.clickhouse_user,
            password=self.clickhouse_password,
            database=self.clickhouse_database,
            **clickhouse_tls(self.clickhouse_url),
        )


def _read_key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise StackError(
            f"cannot read the admin key in {path}: {error.strerror}; see MODELYARD_ADMIN_KEY_FILE"
        ) from error
