"""The callers of the demo: one request per row in the order of time, the truth about each following late."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
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
RETRIED: Final = (503, 504)
ATTEMPTS: Final = 8
"""With exponential backoff, some ten seconds: a killed router is back by then."""


def row_of(prefix: str, prediction_id: str) -> int:
    """The row of a prediction id, also of one that was made after a lost connection."""
    return int(prediction_id.removeprefix(f"{prefix}-").partition("-")[0])


@dataclass
class Answers:
    """What came back, by row of the stream."""

    outputs: dict[int, str | float] = field(default_factory=dict)
    """Predicted class, or value of a regression."""
    versions: dict[int, int] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    at: dict[int, float] = field(default_factory=dict)
    """Unix time of the answer, seconds."""
    ids: dict[int, str] = field(default_factory=dict)
    """The prediction id under which a row was answered."""
    tried: set[str] = field(default_factory=set)
    """Every prediction id ever sent: an answer that was lost on the way may have been logged all the same."""
    labels_sent: int = 0

    @property
    def sent(self) -> int:
        return len(self.outputs)


class Traffic:
    """Sends a stream of rows through one route, at a steady rate, and the labels after them."""

    def __init__(self, router_url: str, token: str, stream: Stream, prefix: str) -> None:
        self.answers = Answers()
        self._predict = f"{router_url}/v1/predict/{stream.name}"
        self._feedback = f"{router_url}/v1/feedback"
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._stream = stream
        self._prefix = prefix

    def id_of(self, row: int) -> str:
        """The prediction id of a row, unless a connection was lost."""
        return f"{self._prefix}-{row:07d}"

    async def send(self, first: int, rate_per_s: float, stop: Callable[[], bool]) -> None:
        """Send all rows from `first` on; returns after all answers and labels, or when `stop` returns True."""
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

    async def block(self, rows: Sequence[int], labelled: Sequence[int], *, concurrent: int = CONCURRENT) -> None:
        """Send rows, then the labels of earlier ones; returns after all answers.

        concurrent: requests at a time; with one, the rows are answered and stored in their order.
        """
        async with self._session() as session:
            free = asyncio.Semaphore(concurrent)
            async with asyncio.TaskGroup() as tasks:
                for row in rows:
                    await free.acquire()
                    tasks.create_task(self._one(session, row, free))
            for start in range(0, len(labelled), FEEDBACK_BATCH):
                await self._label(session, labelled[start : start + FEEDBACK_BATCH])

    async def _one(self, session: aiohttp.ClientSession, row: int, free: asyncio.Semaphore) -> None:
        try:
            features = self._stream.features(row)
            began = time.perf_counter()
            answer = await self._post(session, self._predict, lambda lost: self._request(row, features, lost))
            self.answers.latencies_ms.append((time.perf_counter() - began) * 1e3)
            self.answers.ids[row] = answer["prediction_id"]
            self.answers.outputs[row] = answer["class"] if self._stream.classes else answer["value"]
            self.answers.versions[row] = answer["version"]
            self.answers.at[row] = time.time()
        finally:
            free.release()

    def _request(self, row: int, features: dict[str, Any], lost: int) -> dict[str, Any]:
        """After a lost connection the id is a new one: the lost answer may stand in the log, and stays single there."""
        prediction_id = self.id_of(row) + (f"-{lost}" if lost else "")
        self.answers.tried.add(prediction_id)
        return {"prediction_id": prediction_id, "features": features}

    async def _label(self, session: aiohttp.ClientSession, rows: Sequence[int]) -> None:
        """Send the labels of answered rows; they are sent late enough that all rows were answered."""
        known = [row for row in rows if row in self.answers.ids]
        items = [{"prediction_id": self.answers.ids[row], **self._truth(row)} for row in known]
        await self._post(session, self._feedback, lambda _: {"items": items})
        self.answers.labels_sent += len(known)

    def _truth(self, row: int) -> dict[str, Any]:
        label = self._stream.labels[row]
        return {"label": str(label)} if self._stream.classes else {"value": float(label)}

    async def _post(
        self, session: aiohttp.ClientSession, url: str, body: Callable[[int], dict[str, Any]]
    ) -> dict[str, Any]:
        """The answer's JSON. Overload (503), a deadline that passed (504) and a lost connection are tried again.

        Anything else is an error. StackError after ATTEMPTS.

        body: makes the request, given how many connections were lost so far.
        """
        lost = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with session.post(url, data=json.dumps(body(lost))) as response:
                    if response.status < 300:
                        answer: dict[str, Any] = await response.json()
                        return answer
                    problem = f"HTTP {response.status}: {(await response.text())[:500]}"
                    if response.status not in RETRIED:
                        break
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                problem = f"{type(error).__name__}: {error}"
                lost += 1
            await asyncio.sleep(0.3 * attempt)
        raise StackError(f"{url} did not answer: {problem}")

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=CONCURRENT + 4)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector) as session:
            yield session
