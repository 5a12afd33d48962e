"""Weights follow the labels: read what is new at the monitor, move the weights, wake the reconciler to publish them.

Weights and the position in the labels are saved in one transaction, so each label counts once, whenever the deployer is
killed. The reconciler publishes what is saved; after a restart it publishes what was not published yet.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.errors import RegistryUnavailable, StaleRollout, VersionUnusable
from modelyard_deployer.domain.harm import Harm, find_harm
from modelyard_deployer.domain.ports import Monitor, Registry, Store
from modelyard_deployer.domain.votes import LabelPage, Vote, follow
from modelyard_runtime.clock import Clock
from modelyard_runtime.policy_time import ClockTime, PolicyTime
from modelyard_runtime.wakeup import pause

LOOK_S: Final = 0.25
"""Interval between two checks for models that are due."""
HARM_WINDOW: Final = timedelta(seconds=60)
POLICY_RETRY: Final = timedelta(seconds=5)
MAX_PAGES: Final = 50
"""Pages of one update; the rest waits for the next one."""
NO_ANSWER: Final = "the monitor does not answer; the weights stay as they are"
log = logging.getLogger(__name__)


def _ignore(_: Vote) -> None:
    return None


@dataclass(frozen=True)
class Weights:
    """Updates the weights of one model; different models may be updated concurrently."""

    store: Store
    monitor: Monitor
    registry: Registry
    clock: Clock
    notify: Callable[[str], None]
    on_update: Callable[[Vote], None] = _ignore
    """Called after each update, for metrics."""

    def due_every_s(self) -> dict[str, float]:
        """Models with a vote and how often their weights are updated; models whose policy changed, at once."""
        with self.store.read() as records:
            found = {serving.model: serving for serving in records.serving.all()}
            votes = [vote for vote in records.votes.all() if len(vote.members) > 1 and vote.model in found]
        every = {vote.model: found[vote.model].policy.adaptive.update_every_s for vote in votes}
        changed = {model: POLICY_RETRY.total_seconds() for model, serving in found.items() if serving.policy_changed}
        return {**changed, **every}

    def update(self, model: str) -> None:
        """Bring the policy and the weights of a model up to date. Errors of other services are recorded."""
        self._read_policy(model)
        for _ in range(MAX_PAGES):
            try:
                if not self._follow(model):
                    return
            except StaleRollout:  # the reconciler changed the members meanwhile; read again
                continue

    def _read_policy(self, model: str) -> None:
        with self.store.read() as records:
            serving = records.serving.get(model)
        if serving is None or not serving.policy_changed:
            return
        try:
            policy = self.registry.policy(model)
        except (RegistryUnavailable, VersionUnusable) as error:
            log.warning("the rollout policy of %s cannot be read, retrying: %s", model, error)
            return
        with self.store.write() as records:
            records.serving.save(serving, replace(serving, policy=policy, policy_changed=False))
        self.notify(model)

    def _follow(self, model: str) -> bool:
        """Apply one page of labels; True if there may be more."""
        with self.store.read() as records:
            vote, serving = records.votes.get(model), records.serving.get(model)
        if vote is None or serving is None or len(vote.members) < 2:
            return False
        page = self.monitor.votes(model, vote.cursor)
        moved = _moved(vote, page, serving.policy, self.clock())
        moved = self._without_harm(moved, serving.policy)
        if moved != vote:
            with self.store.write() as records:
                records.votes.save(vote, moved)
            if _published(moved) != _published(vote):
                self.notify(model)
        self.on_update(moved)
        return page is not None and page.more and page.cursor != vote.cursor

    def _without_harm(self, vote: Vote, policy: RolloutPolicy) -> Vote:
        since = max(self.clock() - HARM_WINDOW, *(member.since for member in vote.members))  # not from its time before
        calls = self.monitor.members(vote.model, since)
        if calls is None:
            return vote
        present = [one for one in calls if one.version in vote.versions]
        return _marked(vote, find_harm(present, policy.max_error_rate, policy.timeout_ms))


class WeightUpdates:
    """Runs the updates in the background: each model in its own thread, so that no model waits for another."""

    def __init__(
        self, weights: Weights, clock: Clock, pool: Executor | None = None, policy_time: PolicyTime | None = None
    ) -> None:
        self._weights, self._clock, self._policy_time = weights, clock, policy_time or ClockTime()
        self._pool = pool or ThreadPoolExecutor(4, thread_name_prefix="weights")
        self._begun: dict[str, tuple[datetime, Future[None]]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                self._start(await asyncio.to_thread(self._weights.due_every_s))
            except Exception:
                log.exception("listing the models that vote failed; retrying")
            await pause(stop, LOOK_S)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, every_s: dict[str, float]) -> None:
        now = self._policy_time(self._clock())
        self._begun = {model: begun for model, begun in self._begun.items() if model in every_s}
        for model, seconds in every_s.items():
            begun = self._begun.get(model)
            if begun is None or (begun[1].done() and (now - begun[0]).total_seconds() >= seconds):
                self._begun[model] = now, self._pool.submit(self._update, model)

    def _update(self, model: str) -> None:
        try:
            self._weights.update(model)
        except Exception:  # the next update is tried in any case; nothing of this one was saved
            log.exception("the weights of %s were not updated; retrying", model)


def _moved(vote: Vote, page: LabelPage | None, policy: RolloutPolicy, at: datetime) -> Vote:
    """A page that does not lead on was read before: its labels have been counted."""
    if page is None:
        return replace(vote, problem=NO_ANSWER)
    if page.cursor == vote.cursor:
        return replace(vote, problem="")
    counted = () if vote.cursor is None else page.batches  # before the first position, nothing is counted
    moved = replace(vote, cursor=page.cursor, problem="")
    return follow(moved, counted, policy.adaptive, at) if counted else moved


def _marked(vote: Vote, harm: Harm) -> Vote:
    members = tuple(replace(one, harm=one.harm or harm.members.get(one.version, "")) for one in vote.members)
    return replace(vote, members=members, lead_only=harm.all_fail)


def _published(vote: Vote) -> tuple[object, ...]:
    return vote.lead_only, *((one.version, one.weight, one.harm) for one in vote.members)
