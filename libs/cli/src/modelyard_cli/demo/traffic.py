"""The callers of the demo: one request per row in the order of time, the truth about each following late."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError

CONCURRENT: Final = 16
LABEL_DELAY_ROWS: Final = 240
"""The truth about a row is sent this many rows later: five days of half-hours in Elec2."""
FEEDBACK_BATCH: Final = 40
REQUEST_TIMEOUT_S: Final = 10.0
ATTEMPTS: Final = 5


@dataclass
class Answers:
    """What came back, by row of the stream."""

    classes: dict[int, str] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    at: dict[int, float] = field(default_factory=dict)
    """Unix time of the answer, seconds."""
    labels_sent: int = 0

    @property
    def sent(self) -> int:
        return len(self.classes)


class Traffic:
    """Sends a stream of rows through one route, at a steady rate, and the labels after them."""

    def __init__(self, router_url: str, token: str, stream: Stream, prefix: str) -> None:
        self.answers = Answers()
        self._predict = f"{router_url}/v1/predict/{stream.name}"
        self._feedback = f"{router_url}/v1/feedback"
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._stream = stream
        self._prefix = prefix

    async def send(self, first: int, rate_per_s: float, stop: Callable[[], bool]) -> None:
        """Send all rows from `first` on; returns when all are answered and all labels are in, or when told to stop."""
        async with self._session() as session:
            due: list[int] = []
            free = asyncio.Semaphore(CONCURRENT)
            async with asyncio.TaskGroup() as tasks:
                async for row in self._paced(first, rate_per_s, stop):
                    await free.acquire()
                    tasks.create_task(self._one(session, row, free))
                    due.append(row)
                    if len(due) >= LABEL_DELAY_ROWS + FEEDBACK_BATCH:
                        tasks.create_task(self._label(session, due[:FEEDBACK_BATCH]))
                        del due[:FEEDBACK_BATCH]
            for start in range(0, len(due), FEEDBACK_BATCH):
                await self._label(session, due[start : start + FEEDBACK_BATCH])

    async def _paced(self, first: int, rate_per_s: float, stop: Callable[[], bool]) -> AsyncIterator[int]:
        """Rows, no faster than the rate; a slow spell is not caught up with a burst."""
        next_at = time.monotonic()
        for row in range(first, self._stream.rows):
            if stop():
                return
            next_at = max(next_at + 1 / rate_per_s, time.monotonic() - 0.05)
            if (ahead := next_at - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            yield row

    async def _one(self, session: aiohttp.ClientSession, row: int, free: asyncio.Semaphore) -> None:
        try:
            body = {"prediction_id": self.prediction_id(row), "features": self._stream.features(row)}
            began = time.perf_counter()
            answer = await self._post(session, self._predict, body)
            self.answers.latencies_ms.append((time.perf_counter() - began) * 1e3)
            self.answers.classes[row] = answer["class"]
            self.answers.versions[row] = answer["version"]
            self.answers.at[row] = time.time()
        finally:
            free.release()

    async def _label(self, session: aiohttp.ClientSession, rows: list[int]) -> None:
        items = [{"prediction_id": self.prediction_id(row), "label": str(self._stream.labels[row])} for row in rows]
        await self._post(session, self._feedback, {"items": items})
        self.answers.labels_sent += len(rows)

    async def _post(self, session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON. Overload (503) and a lost connection are tried again, anything else is an error."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with session.post(url, data=json.dumps(body)) as response:
                    if response.status < 300:
                        answer: dict[str, Any] = await response.json()
                        return answer
                    problem = f"HTTP {response.status}: {(await response.text())[:500]}"
                    if response.status != 503:
                        break
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                problem = f"{type(error).__name__}: {error}"
            await asyncio.sleep(0.2 * attempt)
        raise StackError(f"{url} did not answer: {problem}")

    def prediction_id(self, row: int) -> str:
        return f"{self._prefix}-{row:07d}"

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=CONCURRENT + 4)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector) as session:
            yield session
