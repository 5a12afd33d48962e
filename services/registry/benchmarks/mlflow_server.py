"""Requests of MLflow's API to the registry and to MLflow's own server, over PostgreSQL with 100,000 versions each.

Usage: `.venv/bin/python services/registry/benchmarks/mlflow_server.py PYTHON`, where PYTHON is an interpreter that has
`mlflow` and `psycopg2-binary`. Prints the median wall time and the CPU time of the server process for each operation.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from sqlalchemy import create_engine, text

from modelyard_devstack.ports import free_port
from modelyard_devstack.testing.postgres import Postgres, postgres_binaries
from modelyard_registry.app import Registry
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry, settings_in
from modelyard_runtime.clock import system_clock

ROUNDS: Final = 30
START_TIMEOUT_S: Final = 240.0
API: Final = "/api/2.0/mlflow"
OURS: Final = (
    """INSERT INTO resources (id, workspace, kind, name, description, owner, labels, revision, entries, last_version,
                              created_at, created_by)
       SELECT 1000 + n, 'default', 'model', 'model-' || n, '', '', '{}', 0, 0, 100, now(), 'bench'
       FROM generate_series(1, 1000) AS n""",
    """INSERT INTO versions (resource_id, version, digest, stage, idempotency_key, manifest, flavour, task, metrics,
                             tags, correlation_id, created_at, created_by)
       SELECT 1000 + n, v, 'sha256:' || n || '-' || v, 'registered', n || '-' || v, '{}', 'skops', 'binary', '{}',
              json_build_object('team', 'team-' || v % 50), gen_random_uuid(), now(), 'bench'
       FROM generate_series(1, 1000) AS n, generate_series(1, 100) AS v""",
    """INSERT INTO aliases (resource_id, alias, version, generation, actor, reason, moved_at)
       SELECT 1000 + n, 'prod', 50, 1, 'bench', '', now() FROM generate_series(1, 1000) AS n""",
)
THEIRS: Final = (
    """INSERT INTO registered_models (workspace, name, creation_time, last_updated_time)
       SELECT 'default', 'model-' || n, 1, 1 FROM generate_series(1, 1000) AS n""",
    """INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time, current_stage, source,
                                   status)
       SELECT 'default', 'model-' || n, v, n * 100 + v, n * 100 + v, 'None', 's3://bucket/' || n, 'READY'
       FROM generate_series(1, 1000) AS n, generate_series(1, 100) AS v""",
    """INSERT INTO model_version_tags (workspace, name, version, key, value)
       SELECT 'default', 'model-' || n, v, 'team', 'team-' || v % 50
       FROM generate_series(1, 1000) AS n, generate_series(1, 100) AS v""",
    """INSERT INTO registered_model_aliases (workspace, name, alias, version)
       SELECT 'default', 'model-' || n, 'prod', 50 FROM generate_series(1, 1000) AS n""",
)


def operations(client: httpx.Client) -> dict[str, Callable[[int], httpx.Response]]:
    """Operation to a request with a running number."""

    def search(filter: str) -> httpx.Response:
        return client.get(f"{API}/model-versions/search", params={"filter": filter, "max_results": 100})

    def alias(n: int, number: int) -> httpx.Response:
        body = {"name": f"model-{n}", "alias": "next", "version": str(number)}
        return client.post(f"{API}/registered-models/alias", json=body)

    return {
        "create a registered model": lambda n: client.post(
            f"{API}/registered-models/create", json={"name": f"new-{n}"}
        ),
        "set an alias": lambda n: alias(n + 1, 7),
        "version by alias": lambda n: client.get(
            f"{API}/registered-models/alias", params={"name": f"model-{n + 1}", "alias": "prod"}
        ),
        "versions of one model": lambda n: search(f"name = 'model-{n + 1}'"),
        "versions with a tag": lambda n: search(f"tags.team = 'team-{n}'"),
        "newest 100 versions": lambda _: search(""),
    }


def measure(server: psutil.Process, client: httpx.Client) -> dict[str, tuple[float, float]]:
    """Operation to the median wall time and the mean CPU time of the server, in milliseconds."""
    found = {}
    for name, ask in operations(client).items():
        ask(ROUNDS).raise_for_status()
        begun, times = _used_s(server), []
        for n in range(ROUNDS):
            at = time.perf_counter()
            ask(n).raise_for_status()
            times.append(time.perf_counter() - at)
        found[name] = (1_000 * statistics.median(times), 1_000 * (_used_s(server) - begun) / ROUNDS)
    return found


def _used_s(server: psutil.Process) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in (server, *server.children(recursive=True)))


@contextmanager
def running(command: list[str], url: str, environment: dict[str, str], headers: dict[str, str]) -> Iterator[Any]:
    """A server process and a client of it, until the end of the block."""
    process = subprocess.Popen(  # noqa: S603 - our own script, and the interpreter that the caller names
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=60.0) as client:
            _until_answered(client)
            yield psutil.Process(process.pid), client
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.terminate()
        process.terminate()
        process.wait(10)


def _until_answered(client: httpx.Client) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until:
        try:
            if client.get(f"{API}/registered-models/get", params={"name": "model-1"}).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{client.base_url} did not answer within {START_TIMEOUT_S:g} s")


def fill(url: str, statements: tuple[str, ...]) -> None:
    """Run statements, then let the planner know the tables."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("ANALYZE"))
    engine.dispose()


def ours(folder: Path, url: str) -> dict[str, tuple[float, float]]:
    registry = Registry(settings_in(folder, database_url=url), system_clock)
    registry.prepare()
    registry.database.close()
    fill(url, OURS)
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(folder), url, str(port)]
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    with running(command, f"http://127.0.0.1:{port}/mlflow/default", {}, headers) as (server, client):
        return measure(server, client)


def theirs(python: str, folder: Path, url: str) -> dict[str, tuple[float, float]]:
    store = url.replace("postgresql://", "postgresql+psycopg2://")
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    upgrade = [python, "-m", "mlflow", "db", "upgrade", store]
    subprocess.run(upgrade, check=True, capture_output=True, env={**os.environ, **environment})  # noqa: S603
    fill(url, THEIRS)
    port = free_port()
    options = ["--backend-store-uri", store, "--artifacts-destination", str(folder), "--port", str(port)]
    command = [python, "-m", "mlflow", "server", *options, "--workers", "1"]
    with running(command, f"http://127.0.0.1:{port}", environment, {}) as (server, client):
        return measure(server, client)


def serve(folder: Path, url: str, port: int) -> None:
    """The registry as one process, as `python -m modelyard_registry` runs it, without Kafka."""
    import uvicorn

    with InProcessRegistry(folder, system_clock, database_url=url) as opened:
        uvicorn.run(opened.app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")


def main(python: str) -> None:
    """Measure both and print a table."""
    binaries = postgres_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed")
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-bench-")))
        root.chmod(0o755)
        for name in ("postgres", "ours", "theirs"):
            (root / name).mkdir()
        server = Postgres(binaries, root / "postgres")
        server.start()
        stack.callback(server.stop)
        for name in ("ours", "theirs"):
            server.execute(f"CREATE DATABASE {name}")
        first, second = ours(root / "ours", server.url_of("ours")), theirs(python, root, server.url_of("theirs"))
    print("operation | registry: ms, CPU ms | MLflow: ms, CPU ms")
    for name, (wall, cpu) in first.items():
        print(f"{name} | {wall:.1f}, {cpu:.1f} | {second[name][0]:.1f}, {second[name][1]:.1f}")


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main(sys.argv[1])
