"""The second wall alone: no rule, grant or setting stands between the SQL and the engine.

Each attempt runs in a process that is confined like the server's and hands its statement to the bare engine. The same
statement outside the wall succeeds, so that an attempt that could never work does not count as a refusal.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard_confine import landlock_version

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("loopback"),
    pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock"),
]
SECRET = "my_admin_key_7351"
BARE_ENGINE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from modelyard_devclickhouse.confine import confine
from modelyard_devclickhouse.engine import import_chdb

data, confined = Path(sys.argv[1]), sys.argv[2] == "confined"
for name in ("engine", "work", "spool", "engine.config"):
    (data / name).mkdir(parents=True, exist_ok=True)
statements = json.loads(sys.stdin.read())
walls = confine(data) if confined else []

def run():
    import os
    os.environ["TMPDIR"] = str(data / "spool")
    connection = import_chdb().connect(str(data / "engine"))
    for sql in ("CREATE DATABASE ml ENGINE = Atomic", "CREATE TABLE ml.t (a String) ENGINE = MergeTree ORDER BY a",
                "INSERT INTO ml.t VALUES ('x')"):
        connection.query(sql)
    said = []
    for sql in statements:
        try:
            said.append(connection.query(sql, "TSVRaw").bytes().decode("utf-8", "replace"))
        except Exception as error:
            said.append(f"error: {error}")
    return said

with ThreadPoolExecutor(1) as pool:
    print(json.dumps({"walls": walls, "said": pool.submit(run).result()}))
"""
READS = {
    "the scalar function file": "SELECT file('{secret}')",
    "the table function file": "SELECT * FROM file('{secret}', 'LineAsString')",
    "a name of the default database": "SELECT * FROM default.`{secret}`",
    "an expression in Values": "SELECT * FROM format(Values, 'a String', '(file(''{secret}''))')",
    "a default in a structure": "SELECT a FROM format(TSKV, 'x UInt8, a String DEFAULT file(''{secret}'')', 'x=1\n')",
    "a setting that holds SQL": "SELECT a FROM ml.t SETTINGS select = 'file(''{secret}'')'",
    "a template": "SELECT * FROM format(Template, 'a String', 'x') SETTINGS format_template_row = '{secret}'",
    "a view": "SELECT * FROM view(SELECT file('{secret}'))",
    "a link": "SELECT * FROM file('{link}', 'LineAsString')",
    "a way up from the data folder": "SELECT * FROM file('{data}/engine/../../{name}', 'LineAsString')",
}
WRITES = {
    "INTO OUTFILE": "SELECT 'x' INTO OUTFILE '{out}' FORMAT CSV",
    "INSERT into file": "INSERT INTO FUNCTION file('{out}', 'CSV', 'a String') VALUES ('x')",
    "a generated schema": "SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = '{out}'",
    "recorded errors": "SELECT * FROM format(CSV, 'a UInt8', 'x') SETTINGS input_format_allow_errors_num = 5, "
    "input_format_record_errors_file_path = '{out}'",
    "a folder moved away": "ATTACH TABLE ml.u FROM '{folder}' (a String) ENGINE = MergeTree ORDER BY a",
}
PROCESS = {
    "the environment": "SELECT * FROM file('/proc/self/environ', 'RawBLOB', 'a String')",
    "the memory map": "SELECT * FROM file('/proc/self/maps', 'RawBLOB', 'a String')",
    "the command line": "SELECT * FROM file('/proc/self/cmdline', 'RawBLOB', 'a String')",
    "accounts": "SELECT * FROM file('/etc/passwd', 'LineAsString')",
}


def run_bare(data: Path, statements: list[str], *, confined: bool) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", BARE_ENGINE, str(data), "confined" if confined else "open"],
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        cwd=data.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Outside:
    """What lies beside the data folder and must stay as it is."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.secret = folder / "admin.key"
        self.secret.write_text(SECRET + "\n")
        self.out = folder / "out"
        self.folder = folder / "folder"
        self.folder.mkdir()
        self.link = self.data / "link"
        self.link.symlink_to(self.secret)

    def fill(self, sql: str) -> str:
        places = {"secret": self.secret, "name": self.secret.name, "out": self.out, "link": self.link}
        for key, path in {**places, "folder": self.folder, "data": self.data}.items():
            sql = sql.replace("{" + key + "}", str(path))
        return sql

    @property
    def untouched(self) -> bool:
        return self.secret.read_text() == SECRET + "\n" and not self.out.exists() and self.folder.is_dir()


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outside, dict[str, str]]:
    """All attempts behind the wall: (what lies outside, what the engine answered)."""
    outside = Outside(tmp_path_factory.mktemp("confined"))
    attempts = {**READS, **WRITES, **PROCESS}
    answer = run_bare(outside.data, [outside.fill(sql) for sql in attempts.values()], confined=True)
    assert any(wall.startswith("landlock") for wall in answer["walls"])
    return outside, dict(zip(attempts, answer["said"], strict=True))


@pytest.mark.parametrize("attempt", [*READS, *PROCESS])
def test_the_wall_alone_keeps_every_file_unread(confined: tuple[Outside, dict[str, str]], attempt: str) -> None:
    outside, said = confined
    assert said[attempt].startswith("error: "), said[attempt]
    assert SECRET not in said[attempt]
    assert outside.untouched


@pytest.mark.parametrize("attempt", WRITES)
def test_the_wall_alone_keeps_everything_outside_as_it_is(
    confined: tuple[Outside, dict[str, str]], attempt: str
) -> None:
    outside, said = confined
    assert outside.untouched, said[attempt]


@pytest.mark.parametrize("attempt", READS)
def test_without_the_wall_the_bare_engine_reads_the_file(tmp_path: Path, attempt: str) -> None:
    outside = Outside(tmp_path)
    [said] = run_bare(outside.data, [outside.fill(READS[attempt])], confined=False)["said"]
    assert SECRET in said


@pytest.mark.parametrize("attempt", WRITES)
def test_without_the_wall_the_bare_engine_changes_what_lies_outside(tmp_path: Path, attempt: str) -> None:
    outside = Outside(tmp_path)
    [said] = run_bare(outside.data, [outside.fill(WRITES[attempt])], confined=False)["said"]
    assert not outside.untouched, said


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString') SETTINGS http_max_tries = 1",
        "SELECT * FROM remote('127.0.0.1:{port}', system.one)",
        "SELECT * FROM s3('http://127.0.0.1:{port}/b/k', 'LineAsString') SETTINGS http_max_tries = 1",
        "SELECT * FROM mysql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
    ],
)
def test_the_wall_alone_keeps_the_engine_from_the_network(tmp_path: Path, sql: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        sql = sql.replace("{port}", str(listener.getsockname()[1]))
        [said] = run_bare(tmp_path, [sql], confined=True)["said"]
        assert said.startswith("error: ")
        with pytest.raises(TimeoutError):
            listener.accept()
