"""Traffic shares and required versions, from the serving state and the active rollout."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.membership import lead
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Serving
from modelyard_deployer.domain.snapshot import ModelState
from modelyard_deployer.domain.steps import ALL

HISTORY_LENGTH: Final = 20
STABLE: Final = "stable"
CANARY: Final = "canary"


def shares(state: ModelState, ready: Callable[[int], bool]) -> dict[int, float]:
    """Map version to traffic share, summing to 1, the challenger first; empty while no version may serve.

    A new version without ready replicas gets no traffic at any step; the stable version gets the rest. Where versions
    vote, the share of the lead is that of the vote.
    """
    champion, active = lead(state.serving, state.active), state.active
    moves = active is not None and not active.adaptive and active.state in (State.SHIFTING, State.HOLDING)
    new = active if moves else None
    if new is None:
        return {champion: 1.0} if champion is not None else {}
    if new.weight_percent >= ALL or champion is None:
        return {new.to_version: 1.0}
    share = new.weight_percent / ALL if ready(new.to_version) else 0.0
    return ({new.to_version: share} if share else {}) | {champion: 1.0 - share}


def variant(state: ModelState, version: int, shared: dict[int, float]) -> str:
    """`stable` for the champion, those that vote with it, or the only version; `canary` for its challenger."""
    if len(shared) == 1 or version == lead(state.serving, state.active):
        return STABLE
    return CANARY if version in shared else STABLE


def wanted_versions(state: ModelState, pinned: frozenset[int], now: datetime) -> set[int]:
    """Versions that need replicas: champion, members, pinned, being rolled out, and the previous one while kept warm.

    pinned: versions of the model that need them whatever its rollouts do.
    """
    wanted = set(pinned)
    serving, active = state.serving, state.active
    if serving and serving.champion is not None:
        wanted.add(serving.champion)
    if state.vote:
        wanted |= set(state.vote.versions)
    if active and active.active:
        wanted.add(active.to_version)
    if serving and serving.previous is not None and serving.warm_until and now < serving.warm_until:
        wanted.add(serving.previous)
    return wanted


def after(serving: Serving, rollout: Rollout, now: datetime) -> Serving:
    """Return the serving state after `rollout` has ended; unchanged unless it was promoted or rolled back."""
    if rollout.state not in (State.PROMOTED, State.ROLLED_BACK) or rollout.to_version == serving.champion:
        return serving
    if rollout.replaces is not None and rollout.state is State.PROMOTED:
        return _with_snapshot(serving, rollout.replaces, rollout.to_version)
    if rollout.keeps_champion:
        return serving
    others = tuple(version for version in serving.history if version != rollout.to_version)
    if rollout.kind is Kind.ROLL_BACK:
        # A second roll-back must not return to the version just rolled back, so that version is not kept warm either.
        served_before = others != serving.history
        older = serving.history[: serving.history.index(rollout.to_version)] if served_before else others
        return replace(serving, champion=rollout.to_version, history=older, warm_until=None)
    history = (*others, serving.champion) if serving.champion is not None else others
    warm_until = now + timedelta(seconds=rollout.policy.keep_warm_s)
    return replace(serving, champion=rollout.to_version, history=history[-HISTORY_LENGTH:], warm_until=warm_until)


def _with_snapshot(serving: Serving, old: int, new: int) -> Serving:
    """A newer snapshot of an online learner takes the place of an older one; the champion moves only if it was that."""
    return replace(
        serving,
        champion=new if serving.champion == old else serving.champion,
        history=tuple(new if version == old else version for version in serving.history),
    )
