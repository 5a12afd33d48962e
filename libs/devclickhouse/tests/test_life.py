"""Start, failed starts, stop, and recovery after kill -9."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard_devstack.testing import eventually

pytestmark = pytest.mark.usefixtures("loopback")
ENVIRON = {"DEVCLICKHOUSE_WRITER_PASSWORD": "w-secret", "DEVCLICKHOUSE_READER_PASSWORD": "r-secret"}


def start(data: Path, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Options of servers that fail to start."""
    command = [sys.executable, "-m", "modelyard_devclickhouse", "--data", str(data), *options]
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("DEVCLICKHOUSE")}, **environ}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_it_does_not_start_with_one_password_only_or_a_missing_file(tmp_path: Path) -> None:
    refused = start(tmp_path, "--port", "0", DEVCLICKHOUSE_WRITER_PASSWORD="x")
    assert refused.returncode == 2 and "DEVCLICKHOUSE_READER_PASSWORD" in refused.stderr
    missing = start(tmp_path, "--port", "0", "--passwords-file", str(tmp_path / "none.json"))
    assert missing.returncode == 2 and "none.json" in missing.stderr


def test_without_passwords_it_creates_them_once_readable_by_the_owner_only(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        command = [sys.executable, "-m", "modelyard_devclickhouse", "--port", "0", "--data", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = f"http://{process.stdout.readline().split()[1]}"
            file = tmp_path / "passwords.json"
            made.append(json.loads(file.read_text()))
            assert file.stat().st_mode & 0o777 == 0o600
            assert httpx.post(url, content="SELECT 1", auth=("reader", made[-1]["reader"])).text == "1\n"
            assert httpx.post(url, content="SELECT 1", auth=("reader", "")).status_code in (401, 403)
            process.terminate()
    assert made[0] == made[1] and made[0]["writer"] != made[0]["reader"]


def test_a_second_process_on_the_same_folder_names_its_owner(server: Any) -> None:
    folder = Path(server.value("SELECT path FROM system.disks WHERE name = 'default'")).parent
    refused = start(folder, "--port", "0", **ENVIRON)
    assert refused.returncode == 2
    assert f"in use by process {server.pid}" in refused.stderr and "Traceback" not in refused.stderr
    assert server.value("SELECT 1") == "1"


def test_a_port_in_use_and_a_folder_that_cannot_be_made_are_named(server: Any, tmp_path: Path) -> None:
    taken = start(tmp_path, "--port", str(server.port), **ENVIRON)
    assert taken.returncode == 2 and f"127.0.0.1:{server.port}" in taken.stderr
    file = tmp_path / "file"
    file.write_text("")
    folder = start(file / "data", "--port", "0", **ENVIRON)
    assert folder.returncode == 2 and str(file / "data") in folder.stderr


def test_it_listens_on_loopback_only_and_prints_its_address(server: Any) -> None:
    assert server.lines[0] == f"ready 127.0.0.1:{server.port}"


def test_a_config_file_in_the_working_directory_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text("<clickhouse><path>/nonexistent</path></clickhouse>")
    command = [sys.executable, "-m", "modelyard_devclickhouse", "--port", "0", "--data", "data"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, **ENVIRON}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("ready ")
            assert Path(f"/proc/{process.pid}/cwd").readlink() == tmp_path / "data" / "work"
        finally:
            process.terminate()
    assert process.returncode == 0
    assert (tmp_path / "data" / "engine").is_dir()


def test_sigterm_stops_it_quickly_and_the_data_stays(own_server: Any) -> None:
    own_server.value("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    own_server.value("INSERT INTO t SELECT number FROM numbers(10)")
    assert own_server.stop() == 0
    own_server.start()
    assert own_server.value("SELECT count() FROM t") == "10"


TABLES = (
    "CREATE TABLE IF NOT EXISTS raw (batch UInt32, n UInt32) ENGINE = MergeTree ORDER BY (batch, n) "
    "SETTINGS non_replicated_deduplication_window = 10000",
    "CREATE TABLE IF NOT EXISTS sums (batch UInt32, rows UInt64, total UInt64) ENGINE = SummingMergeTree "
    "ORDER BY batch SETTINGS non_replicated_deduplication_window = 10000",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS to_sums TO sums AS "
    "SELECT batch, count() AS rows, sum(n) AS total FROM raw GROUP BY batch",
)
ROWS = 1000
KILLS = 4


async def insert_until_acknowledged(client: httpx.AsyncClient, server: Any, batch: int) -> None:
    """Repeat the same rows under the same token until they are acknowledged, as ingest does."""
    body = "INSERT INTO raw FORMAT TSV\n" + "".join(f"{batch}\t{n}\n" for n in range(ROWS))
    parameters = {
        "insert_deduplication_token": f"batch-{batch}",
        "deduplicate_blocks_in_dependent_materialized_views": "1",
    }
    while True:
        try:
            answer = await client.post(server.url, params=parameters, content=body)
        except httpx.HTTPError:
            await asyncio.sleep(0.1)  # sleep: the pace of retries
            continue
        assert answer.status_code == 200, answer.text
        return


async def inserter(server: Any, batches: Any, acknowledged: set[int], done: asyncio.Event) -> None:
    async with httpx.AsyncClient(auth=("writer", "w-secret"), timeout=60) as client:
        while not done.is_set():
            batch = next(batches)
            await insert_until_acknowledged(client, server, batch)
            acknowledged.add(batch)


async def test_a_token_noted_for_a_part_that_was_never_committed_does_not_swallow_the_batch(
    tmp_path: Path, own_server: Any
) -> None:
    """The engine notes the token before it commits the part. The state after a kill in between is created by hand."""
    for ddl in TABLES:
        own_server.value(ddl)
    async with httpx.AsyncClient(auth=("writer", "w-secret"), timeout=60) as client:
        for batch in range(2):
            await insert_until_acknowledged(client, own_server, batch)
        os.kill(own_server.pid, signal.SIGKILL)
        await asyncio.to_thread(own_server.wait)
        parts = sorted((tmp_path / "data" / "engine" / "store").glob("*/*/all_2_2_*"))
        assert len(parts) == 2  # of the table and of its view, one each
        for part in parts:
            shutil.rmtree(part)
        again = type(own_server)(tmp_path / "data", port=own_server.port)
        try:
            await asyncio.to_thread(again.start)
            for batch in (1, 0, 1):
                await insert_until_acknowledged(client, again, batch)
            _all_are_there_once(again, 2)
        finally:
            again.kill()


@pytest.mark.slow
async def test_acknowledged_batches_survive_kill_9_exactly_once_in_table_and_view(
    tmp_path: Path, own_server: Any
) -> None:
    server, acknowledged, done = own_server, set[int](), asyncio.Event()
    for ddl in TABLES:
        server.value(ddl)
    again = type(server)(tmp_path / "data", port=server.port)  # the same port after each kill
    batches = itertools.count()
    inserters = [asyncio.create_task(inserter(server, batches, acknowledged, done)) for _ in range(4)]
    current = server
    try:
        for kills in range(1, KILLS + 1):
            await eventually(lambda least=20 * kills: len(acknowledged) >= least, 60)  # type: ignore[misc]
            os.kill(current.pid, signal.SIGKILL)
            await asyncio.to_thread(current.wait)
            current = await asyncio.to_thread(again.start)
        await eventually(lambda: len(acknowledged) > 5 * KILLS, 60)
        done.set()
        await asyncio.gather(*inserters)
        _all_are_there_once(again, len(acknowledged))
    finally:
        again.kill()


def _all_are_there_once(again: Any, count: int) -> None:
    rows = again.value("SELECT count(), uniqExact(batch), uniqExact(batch, n) FROM raw")
    assert rows == f"{count * ROWS}\t{count}\t{count * ROWS}"
    wrong = again.value(
        f"SELECT count() FROM (SELECT batch, sum(rows) AS r, sum(total) AS t FROM sums GROUP BY batch "
        f"HAVING r != {ROWS} OR t != {ROWS * (ROWS - 1) // 2})"
    )
    assert wrong == "0"
    assert again.value("SELECT uniqExact(batch) FROM sums") == str(count)


def test_the_default_database_and_its_tables_survive_a_restart(own_server: Any) -> None:
    own_server.value("CREATE TABLE default.t (a UInt64) ENGINE = MergeTree ORDER BY a")
    own_server.value("INSERT INTO default.t SELECT number FROM numbers(10)")
    for _ in range(2):
        assert own_server.stop() == 0
        own_server.start()
        assert own_server.value("SELECT count() FROM default.t") == "10"
        assert own_server.value("SELECT count() FROM system.databases WHERE engine = 'Overlay'") == "0"


def test_the_process_keeps_no_secret_in_its_environment_and_reports_its_walls(tmp_path: Path) -> None:
    secrets = {"DEVCLICKHOUSE_WRITER_PASSWORD": "w-secret", "DEVCLICKHOUSE_READER_PASSWORD": "r-secret"}
    command = [sys.executable, "-m", "modelyard_devclickhouse", "--port", "0", "--data", str(tmp_path)]
    environ = {**os.environ, **secrets, "MODELYARD_ADMIN_KEY": "a-secret"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            url = f"http://{process.stdout.readline().split()[1]}"
            said = process.stderr.readline()
            assert httpx.post(url, content="SELECT 1", auth=("reader", "r-secret")).text == "1\n"
            kept = Path(f"/proc/{process.pid}/environ")
            if kept.exists():
                assert "secret" not in kept.read_text() and "PATH=" in kept.read_text()
            walls = httpx.get(f"{url}/ping").headers["X-Modelyard-Walls"]
            assert said.startswith("walls: statements")
            assert walls == "none" or walls in said
        finally:
            process.terminate()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="walls of Linux")
def test_on_linux_the_running_server_is_confined(own_server: Any) -> None:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{own_server.pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    assert "landlock" in httpx.get(f"{own_server.url}ping").headers["X-Modelyard-Walls"]
    tasks = list(Path(f"/proc/{own_server.pid}/task").iterdir())
    assert all("Seccomp:\t2" in (task / "status").read_text() for task in tasks)


def test_the_query_log_holds_the_clients_query_ids(own_server: Any, tmp_path: Path) -> None:
    logged = type(own_server)(tmp_path / "logged", "--query-log").start()
    try:
        logged.value("SELECT 'find me'", query_id="mine-1")
        logged.value("SYSTEM FLUSH LOGS")
        found = logged.value(
            "SELECT DISTINCT query_id, query FROM system.query_log WHERE query LIKE '%find me%' "
            "AND type = 'QueryFinish' AND query NOT LIKE '%query_log%'"
        )
        assert found == "mine-1\tSELECT \\'find me\\'"
    finally:
        logged.kill()
