"""The predictor thread: order, limits, deadlines."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from modelyard_serving.batching import Batcher, Inputs
from modelyard_serving.errors import DeadlinePassed, Overloaded


def rows(*values: float) -> Inputs:
    return Inputs(np.array(values, dtype=np.float64)[:, None], np.empty((len(values), 0), dtype=object))


async def test_requests_waiting_for_a_slow_batch_are_refused_past_the_limit_and_dropped_past_their_deadline() -> None:
    started, gate, seen = threading.Event(), threading.Event(), []

    def predict(numeric: Any, categorical: Any) -> Any:
        started.set()
        gate.wait(60)
        seen.extend(numeric[:, 0].tolist())
        return numeric

    batcher = Batcher(predict, max_batch_rows=4, max_waiting_rows=4)
    first = asyncio.create_task(batcher.submit(rows(1.0), 60))
    assert await asyncio.to_thread(started.wait, 60)
    with pytest.raises(DeadlinePassed):
        await batcher.submit(rows(2.0), 0.05)
    third = asyncio.create_task(batcher.submit(rows(3.0, 4.0), 60))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher.submit(rows(5.0, 6.0), 20)
    gate.set()
    assert (await first).tolist() == [[1.0]]
    assert (await third).tolist() == [[3.0], [4.0]]
    assert seen == [1.0, 3.0, 4.0]
    await asyncio.to_thread(batcher.close)


async def test_a_batch_keeps_to_its_limit() -> None:
    sizes: list[int] = []

    def predict(numeric: Any, categorical: Any) -> Any:
        sizes.append(len(numeric))
        return numeric

    batcher = Batcher(predict, max_batch_rows=3, max_waiting_rows=100)
    answers = await asyncio.gather(*(batcher.submit(rows(float(i)), 20) for i in range(20)))
    assert [answer[0, 0] for answer in answers] == list(range(20))
    assert max(sizes) <= 3
    await asyncio.to_thread(batcher.close)
