"""Hostile SQL: refused for both roles, in any spelling."""

import threading
from pathlib import Path
from typing import Any

import pytest

from modelyard_devclickhouse.allowed import ALLOWED_TABLE_FUNCTIONS, REFUSED_CALLS
from modelyard_devclickhouse.config import TABLE_ENGINES
from modelyard_devstack.testing import wait_until

pytestmark = pytest.mark.usefixtures("loopback")

HOSTILE = [
    "SELECT * FROM file('{file}', 'LineAsString')",
    "SELECT file('{file}')",
    "SELECT FILE ('{file}')",
    "SELECT `file`('{file}')",
    "SELECT \"file\" /* why */ ('{file}')",
    "SELECT file -- why\n('{file}')",
    "SELECT `fil\\x65`('{file}')",
    "SELECT file\u00a0('{file}')",
    "SELECT * APPLY file FROM (SELECT '{file}')",
    "SELECT * APPLY (`file`) FROM (SELECT '{file}')",
    "SELECT arrayMap(file, ['{file}'])",
    "SELECT arrayMap(x -> file(x), ['{file}'])",
    "WITH (x -> file(x)) AS f SELECT f('{file}')",
    "SELECT 1 SETTINGS additional_result_filter = 'file(\\'{file}\\') = \\'\\''",
    "SELECT 1 WHERE file('{file}') != ''",
    "SELECT * FROM `{file}`",
    "SELECT * FROM default.`{file}`",
    "SELECT * FROM '{file}'",
    "DESCRIBE TABLE file('{file}')",
    "EXPLAIN SELECT file('{file}')",
    "SELECT 1 INTO OUTFILE '{out}'",
    "SELECT 1 INTO/**/OUTFILE '{out}' FORMAT CSV",
    "SELECT 1 into outfile '{out}' truncate",
    "EXPLAIN SELECT 1 INTO OUTFILE '{out}'",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:1', system.one)",
    "SELECT * FROM Python(secrets)",
    "SELECT * FROM `Python`(passwords)",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT * FROM sqlite('{file}', 't')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM filesystem('/')",
    "SELECT * FROM icebergLocal('/tmp')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM view(SELECT file('{file}'))",
    "SELECT * FROM cluster('default', url('http://127.0.0.1:1/', 'LineAsString'))",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP DATABASE ml",
    "INSERT INTO FUNCTION file('{out}', 'TSV') SELECT 1",
    "INSERT INTO FUNCTION file('{out}', 'TSV', 'a String') VALUES ('x')",
    "INSERT INTO ml.hostile FROM INFILE '{file}' FORMAT LineAsString",
    "INSERT INTO ml.hostile VALUES (file('{file}'))",
    "INSERT INTO ml.hostile FORMAT Values (`file`('{file}'))",
    "INSERT INTO ml.hostile SELECT file('{file}')",
    "CREATE TABLE ml.h2 (a String) ENGINE = File(LineAsString)",
    "CREATE TABLE ml.h2 (a String) ENGINE = URL('http://127.0.0.1:1/', TSV)",
    "CREATE TABLE ml.h2 (a String) ENGINE = Executable('id', TSV)",
    "CREATE TABLE ml.h2 (a String) ENGINE = Kafka SETTINGS kafka_broker_list = '127.0.0.1:1'",
    "CREATE TABLE ml.h2 (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = 'local', path = '{out}/')",
    "CREATE TABLE ml.h2 (a String DEFAULT file('{file}')) ENGINE = Memory",
    "CREATE TABLE ml.h2 ENGINE = Memory AS SELECT file('{file}') AS a",
    "CREATE VIEW ml.h2 AS SELECT file('{file}')",
    "CREATE FUNCTION h2 AS (x) -> file(x)",
    "CREATE DATABASE h2 ENGINE = Filesystem('/')",
    "CREATE DATABASE h2 ENGINE = SQLite('{file}')",
    "CREATE DICTIONARY ml.h2 (a UInt64) PRIMARY KEY a SOURCE(FILE(path '{file}' format 'TSV')) "
    "LAYOUT(FLAT()) LIFETIME(0)",
    "CREATE DICTIONARY ml.h2 (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:1' format 'TSV')) "
    "LAYOUT(FLAT()) LIFETIME(0)",
    "BACKUP DATABASE ml TO File('{out}')",
    "RESTORE DATABASE ml FROM File('{out}')",
    "SYSTEM SHUTDOWN",
    "SYSTEM KILL",
    "SYSTEM START LISTEN HTTP",
]
READER_ONLY = [
    "SET readonly = 0",
    "SET max_threads = 1",
    "SELECT 1 SETTINGS max_threads = 1, readonly = 0",
    "CREATE TABLE ml.h2 (a String) ENGINE = Memory",
    "CREATE TEMPORARY TABLE h2 (a String)",
    "DROP TABLE ml.hostile",
    "DROP DATABASE ml",
    "TRUNCATE TABLE ml.hostile",
    "ALTER TABLE ml.hostile DELETE WHERE 1",
    "INSERT INTO ml.hostile VALUES ('x')",
    "INSERT INTO ml.hostile FORMAT TSV\nx\n",
    "INSERT INTO ml.hostile SELECT 'x'",
    "WITH 1 AS x INSERT INTO ml.hostile SELECT 'x'",
    "OPTIMIZE TABLE ml.hostile",
    "RENAME TABLE ml.hostile TO ml.h2",
    "SYSTEM FLUSH LOGS",
    "SYSTEM DROP MARK CACHE",
    "KILL QUERY WHERE 1",
    "KILL QUERY WHERE query_id = 'unknown'",
    "KILL QUERY WHERE query_id = 'unknown' OR 1",
    "GRANT ALL ON *.* TO default",
    "CREATE USER h2",
    "EXECUTE AS default SELECT 1",
    "ATTACH TABLE ml.h2 (a String) ENGINE = Memory",
    "EXPLAIN AST DROP TABLE ml.hostile; DROP TABLE ml.hostile",
]


@pytest.fixture(autouse=True)
def table(server: Any) -> None:
    server.value("CREATE TABLE IF NOT EXISTS ml.hostile (a String) ENGINE = MergeTree ORDER BY a")


@pytest.mark.parametrize("user", ["writer", "reader"])
@pytest.mark.parametrize("sql", HOSTILE)
def test_hostile_sql_is_refused_for_both_roles(
    server: Any, secret_file: Path, tmp_path: Path, sql: str, user: str
) -> None:
    out = tmp_path / "out"
    answer = server.ask(sql.replace("{file}", str(secret_file)).replace("{out}", str(out)), user)
    assert answer.status_code >= 400, answer.text
    assert "X-ClickHouse-Exception-Code" in answer.headers
    assert "top-secret" not in answer.text
    assert not out.exists()
    assert server.value("SELECT count() FROM ml.hostile") == "0"
    assert server.value("SELECT count() FROM system.tables WHERE name = 'h2'") == "0"


@pytest.mark.parametrize("sql", READER_ONLY)
def test_a_reader_only_reads(server: Any, sql: str) -> None:
    answer = server.ask(sql, "reader")
    assert answer.status_code >= 400, answer.text
    assert server.value("SELECT count() FROM ml.hostile") == "0"


@pytest.mark.parametrize("user", ["writer", "reader"])
def test_settings_cannot_carry_hostile_sql(server: Any, secret_file: Path, user: str) -> None:
    hidden = f"file('{secret_file}') = 'x'"
    assert server.ask("SELECT 1", user, additional_result_filter=hidden).status_code >= 400
    assert server.ask("SELECT 1", user, **{"max_threads=1, readonly": "0"}).status_code >= 400


@pytest.mark.parametrize(
    "structure", ["a String) ENGINE = Log --", "a String DEFAULT file('/etc/passwd')", "a UInt8); DROP"]
)
def test_the_structure_of_external_data_is_only_a_structure(server: Any, structure: str) -> None:
    import httpx

    answer = httpx.post(
        server.url,
        params={"query": "SELECT * FROM e", "e_structure": structure, "e_format": "TSV"},
        files={"e": b"x\n"},
        auth=("reader", "r-secret"),
    )
    assert answer.status_code >= 400


def test_get_only_reads(server: Any) -> None:
    import httpx

    auth = ("writer", "w-secret")
    assert httpx.get(server.url, params={"query": "SELECT 7"}, auth=auth).text == "7\n"
    refused = httpx.get(server.url, params={"query": "TRUNCATE TABLE ml.hostile"}, auth=auth)
    assert refused.headers["X-ClickHouse-Exception-Code"] == "164"


@pytest.mark.parametrize("auth", [("writer", "r-secret"), ("reader", ""), ("unknown", ""), ("default", ""), None])
def test_nothing_is_open_without_the_right_password_but_ping(server: Any, auth: tuple[str, str] | None) -> None:
    import httpx

    for method, path in (("GET", "?query=SELECT+1"), ("POST", ""), ("GET", "play"), ("GET", "metrics")):
        answer = httpx.request(method, server.url + path, auth=auth, content=b"SELECT 1" if method == "POST" else None)
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert httpx.get(server.url + "ping").text == "Ok.\n"


def test_a_reader_may_kill_its_own_query_and_no_other(server: Any) -> None:
    answers: dict[str, Any] = {}

    def ask(user: str) -> None:
        answers[user] = server.ask(
            "SELECT sum(sleepEachRow(0.02)) FROM numbers(3000)", user, query_id=f"long-{user}", max_block_size="1"
        )

    threads = [threading.Thread(target=ask, args=(user,)) for user in ("writer", "reader")]
    for thread in threads:
        thread.start()
    wait_until(lambda: server.value("SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'") == "3")
    kill = "KILL QUERY WHERE query_id = 'long-{}'"
    assert server.ask(kill.format("writer"), "reader").status_code == 403
    assert server.ask(kill.format("reader"), "reader").status_code == 200
    threads[1].join(20)
    assert answers["reader"].headers["X-ClickHouse-Exception-Code"] == "394"
    assert "writer" not in answers
    assert server.ask(kill.format("writer"), "writer").status_code == 200
    threads[0].join(20)
    assert answers["writer"].headers["X-ClickHouse-Exception-Code"] == "394"


def test_every_table_function_and_engine_is_allowed_or_refused_on_purpose(server: Any) -> None:
    functions = set(server.value("SELECT lower(name) FROM system.table_functions").split())
    assert functions - ALLOWED_TABLE_FUNCTIONS - REFUSED_CALLS == set()
    engines = set(server.value("SELECT name FROM system.table_engines").split())
    outside = {name for name in engines - TABLE_ENGINES if not name.startswith("Replicated")}
    assert {name.lower() for name in outside} <= REFUSED_CALLS


def test_the_engine_itself_grants_nothing_that_reaches_outside(server: Any) -> None:
    granted = server.value(
        "SELECT access_type, ifNull(access_object, '') FROM system.grants WHERE NOT is_partial_revoke"
    )
    rows = [line.split("\t") for line in granted.splitlines()]
    engines = {name for kind, name in rows if kind == "TABLE ENGINE"}
    assert engines == set(TABLE_ENGINES)
    assert not {"READ", "WRITE"} & {kind for kind, _ in rows}


def test_ordinary_names_are_not_refused(server: Any) -> None:
    server.value("CREATE TABLE IF NOT EXISTS ml.ordinary (url String, remote UInt8, format String) ENGINE = Memory")
    server.value("INSERT INTO ml.ordinary (url, remote, format) VALUES ('file', 1, 'url(')")
    assert server.value("SELECT url, remote, t.format FROM ml.ordinary AS t ORDER BY format DESC") == "file\t1\turl("
    assert server.value("SELECT 'file(', replace(url, 'f', 'x') AS disk FROM ml.ordinary") == "file(\txile"
