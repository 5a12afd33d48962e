"""CPU per request of a vote, router and model servers together, as a multiple of a single version in the same run.

The members are real model servers: each a process of its own, or all of them in one process.
"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pytest

from modelyard_contracts.manifest import ManifestFile, ModelManifest, TrainingLineage, signed
from modelyard_contracts.tokens import serving_token
from modelyard_devstack.testing import DevServer, Process, wait_until
from modelyard_flavours import Encoding, FittedSklearn, environment, save_model
from modelyard_serving.members import Listed, MembersFile, write_members

from .conftest import KEY
from .plans import Node, ensemble, leaf, planned
from .stack import RouterProcess, prepare, publish
from .test_bench_router import BODY, FEATURES, PROGRAMS, SECONDS, cpu_s

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]
BUDGETS: Final = {"linear": 1.5, "boosting": 2.0}
"""Largest ratio of three members in one process to a single version: best rounds of one run. The predictions alone of
three boosted models cost half as much as a whole request for one."""
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "3"))
CONNECTIONS: Final = int(os.environ.get("BENCH_CONNECTIONS", "16"))
RATE: Final = float(os.environ.get("BENCH_RATE", "0"))


@pytest.fixture(autouse=True)
def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if "bench" not in request.config.option.markexpr:
        pytest.skip("a benchmark; ask for it with -m bench")


def estimator(kind: str) -> Any:
    """What the trainer's recipes fit, at their usual sizes."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "linear":
        return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    return (
        HistGradientBoostingClassifier(max_iter=100) if kind == "boosting" else ExtraTreesClassifier(100, max_depth=8)
    )


def write_version(folder: Path, kind: str, seed: int) -> ManifestFile:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    numeric, texts = random.normal(size=(2_000, 8)), np.empty((2_000, 0), dtype=object)
    classes = (numeric[:, 0] + numeric[:, 1] * numeric[:, 2] + random.normal(size=2_000) > 0).astype(int)
    encoding = Encoding.learn(numeric, texts, FEATURES.classes)
    fitted = estimator(kind).fit(encoding.matrix(numeric, texts), classes)
    files = save_model("sklearn", FittedSklearn(fitted, encoding), folder)
    manifest = ModelManifest(
        model="elec",
        flavour="sklearn",
        files=files,
        **signed(FEATURES),
        training=TrainingLineage(recipe="bench"),
        environment=environment("sklearn"),
    )
    file = ManifestFile.write(manifest)
    (folder / "manifest.json").write_bytes(file.data)
    return file


@dataclass
class Route:
    """A route with the processes that answer it."""

    name: str
    root: Node
    servers: Sequence[Process]


class Bench:
    """Versions on disk, their servers, and one router with a route per arrangement."""

    def __init__(self, folder: Path, kind: str, versions: int) -> None:
        self.folder = folder
        self.open = ExitStack()
        self.files = {number: write_version(folder / str(number), kind, number) for number in range(1, versions + 1)}

    def start(self, *options: str) -> Process:
        environment = {**os.environ, "MODELYARD_SERVING_TOKEN": serving_token(KEY)}
        process = Process([sys.executable, "-m", "modelyard_serving", *options], environment).start()
        self.open.callback(process.kill)
        return process

    def alone(self, number: int) -> Process:
        return self.start("--model-dir", str(self.folder / str(number)), "--model-version", str(number))

    def ready(self, server: Process, number: int) -> bool:
        connection = http.client.HTTPConnection(str(server.address), timeout=10)
        headers = {"authorization": f"Bearer {serving_token(KEY)}"}
        connection.request("GET", f"/v2/models/elec/versions/{number}/ready", headers=headers)
        return connection.getresponse().status == 200

    def leaf(self, number: int, server: Process) -> Node:
        url = f"http://{server.address}"
        return leaf(url, signature=FEATURES, version=number, digest=self.files[number].digest)

    def single(self) -> Route:
        server = self.alone(1)
        return Route("single", self.leaf(1, server), [server])

    def processes(self, members: int) -> Route:
        servers = [self.alone(number) for number in range(1, members + 1)]
        nodes = [self.leaf(number, server) for number, server in enumerate(servers, start=1)]
        return Route(f"processes-{members}", ensemble(*((1.0 / members, node) for node in nodes)), servers)

    def together(self, members: int) -> Route:
        listed = tuple(
            Listed(str(number), str(self.folder / str(number)), self.files[number].digest)
            for number in range(1, members + 1)
        )
        file = self.folder / f"together-{members}.json"
        write_members(file, MembersFile("elec", listed))
        server = self.start("--members", str(file))
        wait_until(lambda: all(self.ready(server, number) for number in self.files), 60)
        nodes = [self.leaf(number, server) for number in range(1, members + 1)]
        return Route(f"together-{members}", ensemble(*((1.0 / members, node) for node in nodes)), [server])


def measure(router: RouterProcess, route: Route, seconds: float = SECONDS) -> dict[str, Any]:
    """Figures of the load, with CPU microseconds per request of router and model servers."""
    pids = [router.pid, *(server.pid for server in route.servers)]
    before = [cpu_s(pid) for pid in pids]
    command = [sys.executable, str(PROGRAMS), "load", "--port", str(urlsplit(str(router.address)).port), "--key", KEY]
    command += [
        "--seconds",
        str(seconds),
        "--connections",
        str(CONNECTIONS),
        "--rate",
        str(RATE),
        "--route",
        route.name,
    ]
    done = subprocess.run(command, input=BODY, capture_output=True, check=True, timeout=seconds + 60)
    figures: dict[str, Any] = json.loads(done.stdout)
    assert figures["failures"] == 0
    spent = [(cpu_s(pid) - was) / figures["requests"] * 1e6 for pid, was in zip(pids, before, strict=True)]
    return {**figures, "cpu_us": sum(spent), "router_us": spent[0]}


def pss_mib(pid: int) -> float:
    """Memory of a process, with its share of what it shares with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def best(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return min(rounds, key=lambda one: float(one["cpu_us"]))


def shown(route: Route, rounds: Sequence[dict[str, Any]]) -> None:
    one, memory = best(rounds), sum(pss_mib(server.pid) for server in route.servers)
    print(
        f"\n{route.name:14} {one['cpu_us']:6.0f} us CPU/request (router {one['router_us']:4.0f})  "
        f"{one['requests'] / one['seconds']:6.0f} requests/s  p50 {one['p50_ms']:.2f}, p99 {one['p99_ms']:.2f} ms  "
        f"{len(route.servers)} servers, PSS {memory:.0f} MiB",
        end="",
    )


async def run(bench: Bench, folder: Path, bootstrap: str, routes: Sequence[Route]) -> dict[str, list[dict[str, Any]]]:
    """Figures of each route by its name; the routes take turns."""
    tables = [planned(route.root, signatures=(FEATURES,), route=route.name) for route in routes]
    await prepare(bootstrap, tables[0])
    for published in tables[1:]:
        await publish(bootstrap, published)
    router = RouterProcess(folder, bootstrap).start()
    bench.open.callback(router.kill)
    for route in routes:
        await asyncio.to_thread(measure, router, route, 1.0)
    measured: dict[str, list[dict[str, Any]]] = {route.name: [] for route in routes}
    for _ in range(ROUNDS):
        for route in routes:
            measured[route.name].append(await asyncio.to_thread(measure, router, route))
    for route in routes:
        shown(route, measured[route.name])
    return measured


@pytest.mark.parametrize("kind", list(BUDGETS))
async def test_cpu_of_three_members_in_one_process(tmp_path: Path, own_devkafka: DevServer, kind: str) -> None:
    bench = Bench(tmp_path / "models", kind, 3)
    with bench.open:
        routes = [bench.single(), bench.processes(3), bench.together(3)]
        measured = await run(bench, tmp_path, own_devkafka.bootstrap, routes)
    single, apart, together = (best(measured[route.name])["cpu_us"] for route in routes)
    print(f"\n{kind}: three processes {apart / single:.2f}, one process {together / single:.2f} times a single version")
    assert together / single <= BUDGETS[kind]
    assert together < apart / 2


async def test_latency_and_memory_of_nine_members(tmp_path: Path, own_devkafka: DevServer) -> None:
    """Shown, not a budget: wall time on a shared machine. BENCH_RATE sets the requests per second."""
    bench = Bench(tmp_path / "models", "boosting", 9)
    with bench.open:
        routes = [bench.single(), bench.processes(9), bench.together(9)]
        await run(bench, tmp_path, own_devkafka.bootstrap, routes)
        apart, together = (sum(pss_mib(server.pid) for server in route.servers) for route in routes[1:])
    assert together < apart / 2
