"""The monitor's counts, requested in the background: a slow monitor never delays an abort."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from modelyard_deployer.domain.counts import Stratum
from modelyard_deployer.domain.ports import Monitor
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_runtime.clock import Clock


@dataclass(frozen=True)
class Answer:
    """A response of the monitor; `stratum` is None when the request failed."""

    stratum: Stratum | None


@dataclass
class _Request:
    step: tuple[UUID, int]
    at: datetime
    future: Future[Stratum | None]


class Evidence:
    """Keeps at most one request per rollout and step in flight, one every `every_s`; returns each response once."""

    def __init__(
        self,
        monitor: Monitor,
        clock: Clock,
        every_s: float,
        notify: Callable[[str], None],
        pool: Executor | None = None,
    ) -> None:
        self._monitor, self._clock, self._every_s, self._notify = monitor, clock, every_s, notify
        self._pool = pool or ThreadPoolExecutor(4, thread_name_prefix="evidence")
        self._requests: dict[str, _Request] = {}
        self._returned: dict[str, Future[Stratum | None]] = {}

    def next(self, rollout: Rollout) -> Answer | None:
        """Return the response received since the last call, or None; send the next request when due."""
        step, now = (rollout.id, rollout.step), self._clock()
        sent = self._requests.get(rollout.model)
        if sent is None or sent.step != step:
            self._send(rollout, step, now)
            return None
        if not sent.future.done():
            return None
        if self._returned.get(rollout.model) is not sent.future:
            self._returned[rollout.model] = sent.future
            return Answer(sent.future.result())
        if (now - sent.at).total_seconds() >= self._every_s:
            self._send(rollout, step, now)
        return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, rollout: Rollout, step: tuple[UUID, int], now: datetime) -> None:
        since = rollout.step_since or rollout.changed_at
        old = rollout.from_version if rollout.from_version is not None else rollout.to_version
        future = self._pool.submit(self._monitor.health, rollout.model, rollout.route, since, rollout.to_version, old)
        self._requests[rollout.model] = _Request(step, now, future)
        future.add_done_callback(lambda _: self._notify(rollout.model))
