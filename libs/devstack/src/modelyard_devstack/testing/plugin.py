"""The pytest plugin of every package: `pytest_plugins = ["modelyard_devstack.testing.plugin"]` in the root conftest.py.

Without the `server` or `bench` mark, or the `loopback` fixture, a test that opens a network connection fails, also when
the code under test swallowed the error. Fixtures of servers skip when theirs is missing; with REQUIRE_SERVERS=1 that is
a failure, and only tests that use a given server run.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from modelyard_devstack.providers.clickhouse import RunningClickHouse, start_clickhouse
from modelyard_devstack.providers.kafka import RunningKafka, start_kafka
from modelyard_devstack.testing.network import network_blocked
from modelyard_devstack.testing.postgres import Postgres, postgres_binaries
from modelyard_devstack.testing.processes import DevServer, wait_until
from modelyard_devstack.testing.type_adapters import share_type_adapters
from modelyard_runtime.clock import FakeClock


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "server: needs a real server; REQUIRE_SERVERS=1 makes a missing one a failure")
    share_type_adapters()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Nothing runs twice: where servers were promised, what runs on one; elsewhere not the variants for PostgreSQL."""
    promised = os.environ.get("REQUIRE_SERVERS") == "1"
    others = [item for item in items if (not _on_a_given_server(item) if promised else _for_postgres(item))]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


def _on_a_given_server(item: pytest.Item) -> bool:
    given = {"devkafka", "postgres", "given_server"}
    if os.environ.get("CLICKHOUSE_URL"):
        given.add("devclickhouse")
    return bool(given & set(getattr(item, "fixturenames", ()))) or _for_postgres(item)


def _for_postgres(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and any(
        isinstance(one, str) and one == "postgresql" for one in callspec.params.values()
    )


@pytest.fixture
def loopback() -> None:
    """Ask for it in a test that starts a subprocess of its own and speaks to it over loopback."""


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    asked = any(request.node.get_closest_marker(mark) for mark in ("server", "bench"))
    if asked or "loopback" in request.fixturenames:
        yield
        return
    with network_blocked() as refused:
        yield
    if refused:
        pytest.fail(f"touched the network without the `server` mark: {', '.join(sorted(set(refused)))}", pytrace=False)


def missing_server(what: str) -> None:
    """Skip, or fail where servers were promised."""
    if os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail(f"REQUIRE_SERVERS=1, but {what}", pytrace=False)
    pytest.skip(what)


@pytest.fixture
def given_server() -> None:
    """Ask for it in a test that starts, for itself, the kind of server that the environment names."""


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def unique() -> str:
    """A suffix for topics, groups and transactional ids, as servers are shared by tests."""
    return uuid4().hex[:8]


@pytest.fixture(scope="session")
def devkafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKafka]:
    """`.bootstrap` of the broker of all tests: the one that `modelyard up` would take from the environment."""
    with start_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        if kafka.provider != "development":
            wait_until(lambda: _coordinates(kafka.bootstrap), 60, what="the group coordinator of a new broker")
        yield kafka


def _coordinates(bootstrap: str) -> bool:
    """A new Kafka creates its internal topics on demand, and answers with an error until they exist."""
    from modelyard_devkafka.testing import RawClient
    from modelyard_devkafka.wire.group_apis import FIND_COORDINATOR

    with RawClient(bootstrap) as raw:
        return bool(raw.ask(FIND_COORDINATOR, 1, key="any", key_type=0)["error_code"] == 0)


@pytest.fixture
def own_devkafka(tmp_path: Path) -> Iterator[DevServer]:
    """A development broker for this test alone: `.kill()` it, `.start()` it again on the same port and folder."""
    server = _dev_server("modelyard_devkafka", tmp_path / "devkafka")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def devclickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningClickHouse]:
    """The ClickHouse of all tests (`.url`, `.database`, `.writer`, `.reader`): CLICKHOUSE_URL if set, else local."""
    server = start_clickhouse(tmp_path_factory.mktemp("devclickhouse"))
    yield server
    server.stop()


def _dev_server(module: str, data: Path) -> DevServer:
    if importlib.util.find_spec(f"{module}.__main__") is None:
        missing_server(f"{module} is not there")
    data.mkdir(parents=True, exist_ok=True)
    return DevServer(module, data).start()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the tests' own."""
    binaries = postgres_binaries()
    if binaries is None:
        missing_server("no PostgreSQL: neither initdb nor pg_config is on PATH")
    assert binaries is not None  # noqa: S101
    # Not below pytest's own folder: that is closed to the unprivileged user the server must run as.
    with tempfile.TemporaryDirectory(prefix="modelyard-postgres-") as folder:
        server = Postgres(binaries, Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def new_postgres_database(postgres: Postgres) -> Iterator[Callable[[], str]]:
    """Makes fresh databases; returns the URL of each."""
    with ExitStack() as made:
        yield lambda: made.enter_context(postgres.database())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database; a test that asks for it runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    return str(request.getfixturevalue("postgres_url"))
