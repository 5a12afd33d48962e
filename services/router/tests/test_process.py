"""The router as a process beside a broker: killed, cut off, stopped, given new tables."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from modelyard_contracts import FeedbackReceived, PredictionLogged, RouteApplied
from modelyard_devstack.testing import DevServer, Process, eventually

from .conftest import KEY, table, target
from .stack import Callers, RouterProcess, committed, prepare, publish, replica_process, route_to

BROKER_AWAY_S = 20.0
pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def replica() -> Iterator[Process]:
    process = replica_process().start()
    yield process
    process.kill()


@pytest.fixture
def router(tmp_path: Path, own_devkafka: DevServer) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path, own_devkafka.bootstrap)
    yield process
    process.kill()


async def shipped(callers: Callers) -> None:
    async def nothing_waits() -> bool:
        return bool((await callers.get("/v1/spool"))["unsent"] == 0)

    await eventually(nothing_waits, 60)


async def check_counts(callers: Callers, bootstrap: str) -> None:
    """Every answered prediction is in Kafka exactly once, and nothing is there twice."""
    counts = Counter(message.prediction_id for message in await committed(bootstrap, PredictionLogged))
    assert [id_ for id_ in callers.answered if counts[id_] != 1] == []
    assert max(counts.values()) == 1
    assert len(counts) <= callers.sent


async def test_kill_9_under_load_loses_and_doubles_nothing(
    router: RouterProcess, own_devkafka: DevServer, replica: Process
) -> None:
    await prepare(own_devkafka.bootstrap, route_to(replica))
    await asyncio.to_thread(router.start)
    callers, stop = Callers(router.port), asyncio.Event()
    load = asyncio.create_task(callers.run(stop))
    for _ in range(4):
        await asyncio.sleep(1.0)  # sleep: the duration of the load
        before = len(callers.answered)
        router.kill()
        await asyncio.to_thread(router.start)
        await eventually(partial(callers.has_more_than, before + 30), what=str(callers.statuses))
    stop.set()
    await load
    await shipped(callers)
    assert len(callers.answered) > 100
    await check_counts(callers, own_devkafka.bootstrap)


async def test_a_broker_that_goes_away_is_not_noticed_by_callers(
    router: RouterProcess, own_devkafka: DevServer, replica: Process
) -> None:
    await prepare(own_devkafka.bootstrap, route_to(replica))
    await asyncio.to_thread(router.start)
    callers, stop = Callers(router.port), asyncio.Event()
    load = asyncio.create_task(callers.run(stop, workers=3, pause_s=0.01))
    await asyncio.sleep(1.0)  # sleep: the duration of the load
    own_devkafka.kill()
    before = len(callers.answered)
    # Longer than the shipper waits for a transaction (12 s) and than the broker keeps one (15 s).
    await asyncio.sleep(BROKER_AWAY_S)  # sleep: longer than the transaction timeout
    answered_meanwhile = len(callers.answered) - before
    assert (await callers.get("/v1/spool"))["unsent"] >= answered_meanwhile > 100
    assert (await callers.call("GET", "/health/ready")).status == 200
    own_devkafka.start()
    await asyncio.sleep(0.5)  # sleep: the duration of the load
    stop.set()
    await load
    await shipped(callers)
    assert set(callers.statuses) == {200}, callers.statuses
    assert callers.sent == len(callers.answered)
    await check_counts(callers, own_devkafka.bootstrap)


async def test_it_serves_after_a_restart_while_the_broker_is_away_and_ships_later(
    router: RouterProcess, own_devkafka: DevServer, replica: Process
) -> None:
    await prepare(own_devkafka.bootstrap, route_to(replica))
    await asyncio.to_thread(router.start)
    callers = Callers(router.port)
    await callers.predict()
    own_devkafka.kill()
    await callers.predict()
    router.kill()
    await asyncio.to_thread(router.start)
    for _ in range(10):
        await callers.predict()
    assert (await callers.call("POST", "/v1/feedback", {"prediction_id": "p-1", "label": "up"})).status == 202
    assert callers.statuses == {200: 12}
    own_devkafka.start()
    await shipped(callers)
    await check_counts(callers, own_devkafka.bootstrap)
    [label] = await committed(own_devkafka.bootstrap, FeedbackReceived)
    assert (label.prediction_id, label.label) == ("p-1", "up")


async def test_tables_are_applied_in_order_and_acknowledged(
    router: RouterProcess, own_devkafka: DevServer, replica: Process
) -> None:
    bootstrap = own_devkafka.bootstrap
    await prepare(bootstrap, route_to(replica, sequence=5))
    await asyncio.to_thread(router.start)
    callers = Callers(router.port)
    router_id = (await callers.get("/v1/routes"))["router_id"]

    async def heard(count: int) -> list[RouteApplied]:
        async def enough() -> bool:
            return len(await committed(bootstrap, RouteApplied)) >= count

        await eventually(enough, 30)
        return await committed(bootstrap, RouteApplied)

    assert [(a.sequence, a.accepted, a.router_id) for a in await heard(1)] == [(5, True, router_id)]
    await publish(bootstrap, route_to(replica, sequence=4))
    await publish(bootstrap, table(target("ftp://nowhere"), sequence=6))
    await publish(bootstrap, route_to(replica, sequence=7))
    heard_all = await heard(3)
    assert [(a.sequence, a.accepted) for a in heard_all] == [(5, True), (6, False), (7, True)]
    assert "not an address" in heard_all[1].reason
    assert (await callers.get("/v1/routes/elec"))["sequence"] == 7
    router.kill()
    await asyncio.to_thread(router.start)
    await publish(bootstrap, route_to(replica, sequence=8))
    assert [(a.sequence, a.accepted) for a in (await heard(4))[3:]] == [(8, True)], "7 is not sent again"


async def test_sigterm_finishes_what_is_in_flight_and_flushes_the_spool(
    router: RouterProcess, own_devkafka: DevServer, replica: Process
) -> None:
    await prepare(own_devkafka.bootstrap, route_to(replica))
    await asyncio.to_thread(router.start)
    callers = Callers(router.port)
    await asyncio.gather(*(callers.predict() for _ in range(40)))
    last = [asyncio.create_task(callers.predict()) for _ in range(20)]
    await asyncio.sleep(0)
    router.signal(signal.SIGTERM)
    await asyncio.gather(*last)
    assert await asyncio.to_thread(router.wait) == 0, router.output
    counts = Counter(m.prediction_id for m in await committed(own_devkafka.bootstrap, PredictionLogged))
    assert set(callers.answered) <= set(counts)
    assert max(counts.values()) == 1


def test_a_bad_start_is_one_clear_line(tmp_path: Path) -> None:
    def start_with(**env: str) -> tuple[int, str]:
        process = Process([sys.executable, "-m", "modelyard_router"], env).start(ready=False)
        return process.wait(), process.output

    (tmp_path / "key").write_text(KEY)
    good = {"MODELYARD_ADMIN_KEY_FILE": str(tmp_path / "key"), "ROUTER_DATA_DIR": str(tmp_path / "data")}
    code, output = start_with(**{**good, "MODELYARD_ADMIN_KEY_FILE": str(tmp_path / "none")})
    assert code == 2 and "MODELYARD_ADMIN_KEY_FILE" in output and len(output.splitlines()) == 1
    code, output = start_with(**{**good, "ROUTER_SPOOL_MAX_BYTES": "lots"})
    assert code == 2 and "ROUTER_SPOOL_MAX_BYTES" in output
    (tmp_path / "file").write_text("")
    code, output = start_with(**{**good, "ROUTER_DATA_DIR": str(tmp_path / "file")})
    assert code == 2 and "ROUTER_DATA_DIR" in output and len(output.splitlines()) == 1
    assert json.dumps(KEY) not in output
