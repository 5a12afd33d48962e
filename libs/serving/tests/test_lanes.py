"""Several versions in one process: they share a thread, except those that are slow."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelyard_devstack.testing import eventually
from modelyard_serving.batching import FAST_AGAIN, Batcher
from modelyard_serving.lanes import Inputs, Scores

Predict = Callable[[Any, Any], Any]


def rows(*values: float) -> Inputs:
    return Inputs(np.array(values, dtype=np.float64)[:, None], np.empty((len(values), 0), dtype=object))


def times(factor: float, threads: list[int] | None = None) -> Predict:
    def predict(numeric: Any, categorical: Any) -> Any:
        if threads is not None:
            threads.append(threading.get_ident())
        return numeric * factor

    return predict


class Stuck:
    """A prediction that ends when the test releases it."""

    def __init__(self) -> None:
        self.started, self.gate = threading.Event(), threading.Event()

    def __call__(self, numeric: Any, categorical: Any) -> Any:
        self.started.set()
        self.gate.wait(60)
        return numeric


def batcher(slow_s: float = 0.05, **versions: Predict) -> Batcher:
    made = Batcher(max_batch_rows=64, max_waiting_rows=1_000, slow_s=slow_s)
    for name, predict in versions.items():
        made.add(name, predict)
    return made


async def scores(
    batches: Batcher, inputs: Inputs, names: Sequence[str], timeout_s: float = 30
) -> dict[str, list[float]]:
    found = await batches.submit(inputs, names, timeout_s)
    return {name: one.scores.flat for name, one in found.items() if isinstance(one.scores, Scores)}


async def test_all_versions_of_a_request_are_asked_by_one_thread() -> None:
    threads: list[int] = []
    batches = batcher(60, a=times(2, threads), b=times(3, threads), c=times(4, threads))
    answers = await asyncio.gather(*(scores(batches, rows(value, 1), ["a", "b", "c"]) for value in (1.0, 5.0)))
    assert answers == [{"a": [2, 2], "b": [3, 3], "c": [4, 4]}, {"a": [10, 2], "b": [15, 3], "c": [20, 4]}]
    assert len(set(threads)) == 1
    await asyncio.to_thread(batches.close)


async def test_requests_for_different_versions_in_one_batch_get_their_own() -> None:
    batches = batcher(60, a=times(2), b=times(3))
    wanted = [(["a"], 1.0), (["b"], 2.0), (["b", "a"], 3.0)]
    answers = await asyncio.gather(*(scores(batches, rows(value), names) for names, value in wanted))
    assert answers == [{"a": [2]}, {"b": [6]}, {"a": [6], "b": [9]}]
    await asyncio.to_thread(batches.close)


async def test_a_version_that_hangs_costs_the_others_nothing_after_a_moment() -> None:
    stuck = Stuck()
    batches = batcher(a=times(2), bad=stuck, c=times(4))
    assert await scores(batches, rows(1.0), ["a", "bad", "c"], timeout_s=1.0) == {"a": [2], "c": [4]}
    for value in range(3):  # without a time limit of their own: the hung version is not waited for
        assert await scores(batches, rows(value), ["a", "c"]) == {"a": [2 * value], "c": [4 * value]}
    assert not batches.hung("a")
    await eventually(lambda: batches.hung("bad"), 30)
    stuck.gate.set()
    await eventually(lambda: not batches.hung("bad"), 30)
    assert await scores(batches, rows(7.0), ["a", "bad", "c"]) == {"a": [14], "bad": [7], "c": [28]}
    await asyncio.to_thread(batches.close)


async def test_a_version_that_is_fast_again_shares_the_thread_again() -> None:
    stuck, threads, own = Stuck(), [0], [0]

    def slow(numeric: Any, categorical: Any) -> Any:
        own.append(threading.get_ident())
        return stuck(numeric, categorical)

    batches = batcher(a=times(2, threads), slow=slow)
    waiting = asyncio.create_task(scores(batches, rows(1.0), ["a", "slow"]))
    await asyncio.to_thread(stuck.started.wait, 30)
    assert await scores(batches, rows(1.0), ["a"]) == {"a": [2]}
    stuck.gate.set()
    await waiting
    assert await scores(batches, rows(1.0), ["a", "slow"]) == {"a": [2], "slow": [1]}
    assert threads[-1] != own[-1]

    async def together() -> bool:
        for _ in range(FAST_AGAIN):
            await scores(batches, rows(1.0), ["a", "slow"])
        return threads[-1] == own[-1]

    await eventually(together, 60)
    await asyncio.to_thread(batches.close)


async def test_a_removed_version_is_gone_once_no_thread_is_in_its_prediction() -> None:
    stuck = Stuck()
    batches = batcher(a=times(2), bad=stuck)
    waiting = asyncio.create_task(scores(batches, rows(1.0), ["a", "bad"]))
    await asyncio.to_thread(stuck.started.wait, 30)
    batches.remove("bad")
    assert not batches.gone("bad")
    assert await scores(batches, rows(2.0), ["a"]) == {"a": [4]}
    stuck.gate.set()
    assert await waiting == {"a": [2], "bad": [1]}, "a request that was sent before the removal is answered"
    await eventually(lambda: batches.gone("bad"), 30)
    await asyncio.to_thread(batches.close)


async def test_a_version_that_hangs_after_its_removal_costs_the_last_one_nothing_after_a_moment() -> None:
    """It is asked shortly before the first look for slow predictions, and removed before it."""
    stuck, slow_s = Stuck(), 0.5

    def late(numeric: Any, categorical: Any) -> Any:
        time.sleep(0.8 * slow_s)  # sleep: the version before takes most of the time up to the first look
        return numeric

    batches = batcher(slow_s, late=late, bad=stuck)
    waiting = asyncio.create_task(scores(batches, rows(1.0), ["late", "bad"]))
    await asyncio.to_thread(stuck.started.wait, 30)
    batches.remove("bad")
    assert await scores(batches, rows(2.0), ["late"]) == {"late": [2]}
    stuck.gate.set()
    await waiting
    await asyncio.to_thread(batches.close)


async def test_a_failing_version_fails_alone() -> None:
    def broken(numeric: Any, categorical: Any) -> Any:
        raise RuntimeError("broken")

    batches = batcher(60, a=times(2), bad=broken)
    assert await scores(batches, rows(1.0), ["bad", "a"]) == {"a": [2]}
    await asyncio.to_thread(batches.close)
