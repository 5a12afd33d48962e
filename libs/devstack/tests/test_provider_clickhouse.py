"""Which ClickHouse is used: what is given wins, what is given but broken is an error."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelyard_devstack.providers import ProviderError
from modelyard_devstack.providers.clickhouse import RunningClickHouse, start_clickhouse

pytestmark = pytest.mark.usefixtures("loopback")
BARE = {k: v for k, v in os.environ.items() if not k.startswith("CLICKHOUSE_")}
LOCAL = {**BARE, "MODELYARD_CLICKHOUSE_PROVIDER": "development"}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningClickHouse]:
    server = start_clickhouse(tmp_path_factory.mktemp("clickhouse") / "data", environ=LOCAL)
    yield server
    server.stop()
    server.stop()  # twice is allowed


def ask(server: RunningClickHouse, user: str, password: str, sql: str = "SELECT currentDatabase()") -> httpx.Response:
    return httpx.post(server.url, content=sql, auth=(user, password), timeout=30)


def test_without_an_address_the_local_server_is_started_with_passwords_of_its_own(local: RunningClickHouse) -> None:
    assert (local.provider, local.database) == ("development", "ml")
    assert local.pid is not None and Path(f"/proc/{local.pid}").exists()
    assert ask(local, local.writer.user, local.writer.password).text == "ml\n"
    assert ask(local, local.reader.user, local.reader.password).text == "ml\n"
    assert ask(local, "reader", "").status_code == 403
    assert local.writer.password != local.reader.password
    assert local.writer.password not in repr(local)


def test_the_passwords_are_kept_for_the_next_start_and_for_the_owner_only(tmp_path: Path) -> None:
    first = start_clickhouse(tmp_path, environ=LOCAL)
    first.stop()
    second = start_clickhouse(tmp_path, environ=LOCAL)
    second.stop()
    assert first.writer == second.writer and first.reader == second.reader
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_a_given_address_wins_and_is_not_stopped(local: RunningClickHouse, tmp_path: Path) -> None:
    given = start_clickhouse(tmp_path, environ={**BARE, **local.environ()})
    assert (given.provider, given.url, given.pid) == ("given", local.url, None)
    given.stop()
    assert httpx.get(f"{local.url}/ping").status_code == 200
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"CLICKHOUSE_PASSWORD": "wrong"}, "CLICKHOUSE_USER"),
        ({"CLICKHOUSE_READER_PASSWORD": "wrong"}, "CLICKHOUSE_READER_USER"),
        ({"CLICKHOUSE_URL": "http://127.0.0.1:1"}, "does not answer"),
        ({"CLICKHOUSE_URL": "clickhouse://127.0.0.1:1"}, "http://host"),
        ({"CLICKHOUSE_URL": "http://a:b@127.0.0.1:1"}, "credentials"),
        ({"CLICKHOUSE_URL": "", "MODELYARD_CLICKHOUSE_PROVIDER": "given"}, "CLICKHOUSE_URL"),
        ({"MODELYARD_CLICKHOUSE_PROVIDER": "cloud"}, "development"),
    ],
)
def test_given_but_broken_is_an_error_and_never_a_fall_back(
    local: RunningClickHouse, tmp_path: Path, change: dict[str, str], named: str
) -> None:
    with pytest.raises(ProviderError, match=named):
        start_clickhouse(tmp_path, environ={**BARE, **local.environ(), **change})
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_an_error_that_names_its_owner(local: RunningClickHouse, tmp_path: Path) -> None:
    again = start_clickhouse(tmp_path / "data", environ=LOCAL)
    try:
        with pytest.raises(ProviderError, match=f"in use by process {again.pid}"):
            start_clickhouse(tmp_path / "data", environ=LOCAL)
    finally:
        again.stop()
