"""The predictor thread: order, limits, deadlines."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from modelyard_serving.batching import Batcher
from modelyard_serving.errors import DeadlinePassed, Overloaded
from modelyard_serving.lanes import Inputs


def rows(*values: float) -> Inputs:
    return Inputs(np.array(values, dtype=np.float64)[:, None], np.empty((len(values), 0), dtype=object))


async def submit(batcher: Batcher, inputs: Inputs, timeout_s: float) -> Any:
    """Scores of the only version."""
    return (await batcher.submit(inputs, ["1"], timeout_s))["1"].scores


async def test_requests_waiting_for_a_slow_batch_are_refused_past_the_limit_and_dropped_past_their_deadline() -> None:
    started, gate, seen = threading.Event(), threading.Event(), []

    def predict(numeric: Any, categorical: Any) -> Any:
        started.set()
        gate.wait(60)
        seen.extend(numeric[:, 0].tolist())
        return numeric

    batcher = Batcher(max_batch_rows=4, max_waiting_rows=4)
    batcher.add("1", predict)
    first = asyncio.create_task(submit(batcher, rows(1.0), 60))
    assert await asyncio.to_thread(started.wait, 60)
    with pytest.raises(DeadlinePassed):
        await submit(batcher, rows(2.0), 0.05)
    third = asyncio.create_task(submit(batcher, rows(3.0, 4.0), 60))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await submit(batcher, rows(5.0, 6.0), 20)
    gate.set()
    assert (await first).flat == [1.0]
    assert (await third).flat == [3.0, 4.0]
    assert seen == [1.0, 3.0, 4.0]
    await asyncio.to_thread(batcher.close)


async def test_a_batch_keeps_to_its_limit() -> None:
    sizes: list[int] = []

    def predict(numeric: Any, categorical: Any) -> Any:
        sizes.append(len(numeric))
        return numeric

    batcher = Batcher(max_batch_rows=3, max_waiting_rows=100)
    batcher.add("1", predict)
    answers = await asyncio.gather(*(submit(batcher, rows(float(i)), 20) for i in range(20)))
    assert [answer.flat[0] for answer in answers] == list(range(20))
    assert max(sizes) <= 3
    await asyncio.to_thread(batcher.close)
