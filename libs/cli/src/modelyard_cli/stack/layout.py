"""The folder of a local stack, its ports, and the settings of each process."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_cli.stack.credentials import CredentialFiles
from modelyard_devstack.ports import free_port, port_is_free
from modelyard_devstack.providers.clickhouse import Credentials

DEFAULT_DATA_DIR: Final = Path(".modelyard")
DATA_FORMAT: Final = "3"
"""Format of the data in the folder; raised when a development version cannot read what an earlier one wrote."""
KAFKA_PORT: Final = 9092
CLICKHOUSE_PORT: Final = 8123


@dataclass(frozen=True)
class ServiceSpec:
    """One process of the stack: a Python module that serves HTTP."""

    name: str
    port: int

    @property
    def module(self) -> str:
        return f"modelyard_{self.name}"


SERVICES: Final = (
    ServiceSpec("registry", 8101),
    ServiceSpec("monitor", 8106),
    ServiceSpec("router", 8105),
    ServiceSpec("deployer", 8104),
    ServiceSpec("evaluator", 8103),
    ServiceSpec("trainer", 8102),
)
"""In the order they start; they may start in any, this one is ready soonest."""
CONSOLE: Final = ServiceSpec("console", 8100)
PROCESSES: Final = (*SERVICES, CONSOLE)
"""The services, and the console: it neither reads nor writes topics."""


class StackError(RuntimeError):
    """A command cannot do its work; the text says what to do, and the process ends with `exit_code`."""

    exit_code: int = 2


@dataclass(frozen=True)
class Layout:
    """The folder of one stack. Nothing is written outside it."""

    root: Path

    @property
    def state_file(self) -> Path:
        return self.root / "state.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def credentials(self) -> CredentialFiles:
        return CredentialFiles(self.root)

    @property
    def admin_key_file(self) -> Path:
        return self.credentials.admin_key

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def provider_keys(self) -> Path:
        """Folder with keys of providers of models, one file each, which the user puts there."""
        return self.root / "provider-keys"

    def data(self, name: str) -> Path:
        """The folder of one process."""
        return self.root / "data" / name

    def prepare(self) -> None:
        """Create the folders, keys and secrets; StackError when the disk refuses."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds predictions, labels and keys
            for folder in (self.logs, self.root / "data"):
                folder.mkdir(exist_ok=True)
            self.provider_keys.mkdir(mode=0o700, exist_ok=True)
            self._check_format()
            self.credentials.create(
                tuple(spec.name for spec in PROCESSES), signers=tuple(spec.name for spec in SERVICES)
            )
        except OSError as error:
            raise StackError(
                f"cannot write to {self.root}: {error.strerror}; free disk space, or use another folder with --data-dir"
            ) from error

    def _check_format(self) -> None:
        """StackError when the folder holds data of another format; a new folder is marked with this one."""
        mark = self.root / "data" / "FORMAT"
        if not any(path != mark for path in mark.parent.iterdir()):
            mark.write_text(DATA_FORMAT)
        found = mark.read_text().strip() if mark.exists() else "1"
        if found != DATA_FORMAT:
            raise StackError(
                f"the data in {self.root} have format {found}; this version reads format {DATA_FORMAT}; "
                f"move the folder away, or remove it with `rm -r {self.root}`"
            )


def choose_ports(automatic: bool) -> dict[str, int]:
    """Port by process name: the well-known ones, each checked, or free ones."""
    wanted = {spec.name: spec.port for spec in PROCESSES} | {"kafka": KAFKA_PORT, "clickhouse": CLICKHOUSE_PORT}
    if automatic:
        return {name: free_port() for name in wanted}
    taken = [f"{port} ({name})" for name, port in wanted.items() if not port_is_free(port)]
    if taken:
        raise StackError(
            f"port in use: {', '.join(taken)}; stop the process that listens there, or use --any-ports for free ports"
        )
    return wanted


@dataclass(frozen=True)
class Addresses:
    """Addresses that a service needs."""

    kafka_bootstrap: str
    kafka_given: bool
    """Whether it is a Kafka of the user's own: then the services sign in with the KAFKA_* variables."""
    clickhouse_url: str
    clickhouse_database: str
    clickhouse_writer: Credentials
    clickhouse_reader: Credentials
    ports: Mapping[str, int]

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"


def service_environment(layout: Layout, addresses: Addresses, name: str) -> dict[str, str]:
    """The variables of one service process, beside the caller's own environment. Keys are its own only."""
    credentials = addresses.clickhouse_writer if name == "monitor" else addresses.clickhouse_reader
    urls = {f"{spec.name.upper()}_URL": addresses.url(spec.name) for spec in PROCESSES}
    return {
        **urls,
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka_bootstrap,
        **layout.credentials.environment(name),
        "CLICKHOUSE_URL": addresses.clickhouse_url,
        "CLICKHOUSE_DATABASE": addresses.clickhouse_database,
        "CLICKHOUSE_USER": credentials.user,
        "CLICKHOUSE_PASSWORD": credentials.password,
        f"{name.upper()}_PORT": str(addresses.ports[name]),
        f"{name.upper()}_DATA_DIR": str(layout.data(name).resolve()),
        "PROVIDER_KEYS_DIR": str(layout.provider_keys.resolve()),
        "DEPLOYER_STOP_REPLICAS_ON_EXIT": "true",
        # Two cores are shared by ten processes: no library may spin on both of them.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_ARENA_MAX": "2",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # ten processes that each compile what they import take a minute to start
    }
