"""The monitor's answers, asked for in the background: a slow monitor never delays an abort."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from modelyard_deployer.domain.analysis import Stratum
from modelyard_deployer.domain.model import Rollout
from modelyard_deployer.domain.ports import Monitor
from modelyard_runtime.clock import Clock


@dataclass(frozen=True)
class Look:
    """One answer; `stratum` is None when the monitor was asked and did not answer."""

    stratum: Stratum | None


@dataclass
class _Asked:
    step: tuple[UUID, int]
    at: datetime
    future: Future[Stratum | None]


class Looks:
    """One question per rollout and step at a time, at most one every `every_s`; each answer is given out once."""

    def __init__(
        self,
        monitor: Monitor,
        clock: Clock,
        every_s: float,
        notify: Callable[[], None],
        pool: Executor | None = None,
    ) -> None:
        self._monitor, self._clock, self._every_s, self._notify = monitor, clock, every_s, notify
        self._pool = pool or ThreadPoolExecutor(4, thread_name_prefix="look")
        self._asked: dict[str, _Asked] = {}
        self._used: dict[str, Future[Stratum | None]] = {}

    def next(self, rollout: Rollout) -> Look | None:
        """The answer that came since the last call, or None; asks anew when it is time to."""
        step, now = (rollout.id, rollout.step), self._clock()
        asked = self._asked.get(rollout.model)
        if asked is None or asked.step != step:
            self._ask(rollout, step, now)
            return None
        if not asked.future.done():
            return None
        if self._used.get(rollout.model) is not asked.future:
            self._used[rollout.model] = asked.future
            return Look(asked.future.result())
        if (now - asked.at).total_seconds() >= self._every_s:
            self._ask(rollout, step, now)
        return None

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, rollout: Rollout, step: tuple[UUID, int], now: datetime) -> None:
        since = rollout.step_since or rollout.changed_at
        old = rollout.from_version if rollout.from_version is not None else rollout.to_version
        future = self._pool.submit(self._monitor.health, rollout.model, rollout.route, since, rollout.to_version, old)
        self._asked[rollout.model] = _Asked(step, now, future)
        future.add_done_callback(lambda _: self._notify())
