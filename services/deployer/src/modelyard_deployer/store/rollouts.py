"""Rollouts in SQL."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select, update

from modelyard_contracts import RolloutChanged, derived_id
from modelyard_contracts.numbers import finite_only
from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.store.documents import Documents
from modelyard_deployer.store.tables import OPEN, ROLLOUTS
from modelyard_runtime.database import Transaction
from modelyard_runtime.tables import is_one_of

MAX_ROLLOUTS: Final = 10_000
_DOCUMENTS: Final = Documents(Rollout)


class SqlRollouts:
    def __init__(self, tx: Transaction) -> None:
        self._db, self._outbox, self._changes = tx.connection, tx.outbox, tx.changes

    def get(self, rollout_id: UUID) -> Rollout | None:
        row = self._db.execute(select(ROLLOUTS).where(ROLLOUTS.c.id == rollout_id)).one_or_none()
        return None if row is None else _read(row)

    def open(self, model: str) -> list[Rollout]:
        query = select(ROLLOUTS).where(ROLLOUTS.c.model == model, OPEN)
        return _all(self._db.execute(query.order_by(ROLLOUTS.c.created_at)))

    def recent(
        self,
        model: str | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        unfinished: bool = False,
        versions: Collection[tuple[str, int]] = (),
    ) -> list[Rollout]:
        newest_first = (ROLLOUTS.c.created_at.desc(), ROLLOUTS.c.id)
        query = select(ROLLOUTS).order_by(*newest_first).limit(limit).offset(offset)
        if unfinished:
            query = query.where(OPEN)
        if versions:
            query = query.where(is_one_of(versions, ROLLOUTS.c.model, ROLLOUTS.c.document["to_version"].as_integer()))
        if model is not None:
            query = query.where(ROLLOUTS.c.model == model)
        return _all(self._db.execute(query))

    def newest_started(self, model: str) -> int:
        known = self.recent(model, limit=MAX_ROLLOUTS)
        started = (one for one in known if not one.live_share and (one.revision > 0 or not one.state.final))
        return max((rollout.to_version for rollout in started), default=0)

    def add(self, new: Rollout) -> None:
        row = {"id": new.id, "model": new.model, "state": new.state, "created_at": new.created_at, "writes": new.writes}
        self._db.execute(insert(ROLLOUTS).values(**row, abort_reason=None, document=_DOCUMENTS.write(new)))
        self._changes.add("rollout", str(new.id), model=new.model)

    def save(self, before: Rollout, after: Rollout) -> Rollout:
        """Save, and queue an event if state, step or hold changed; without ever leaving `pending` it has no events."""
        held = before.held_reason != after.held_reason
        moved = held or (before.state, before.step) != (after.state, after.step)
        publish = moved and (after.active or before.active)
        after = replace(after, writes=before.writes + 1, revision=before.revision + publish)
        result = self._db.execute(
            update(ROLLOUTS)
            .where(ROLLOUTS.c.id == before.id, ROLLOUTS.c.writes == before.writes)
            .values(state=after.state, writes=after.writes, document=_DOCUMENTS.write(after))
        )
        if result.rowcount != 1:
            raise StaleRollout(f"another writer changed rollout {before.id}")
        self._changes.add("rollout", str(after.id), model=after.model)
        if publish:
            self._outbox.add(_changed(after), key=after.model)
        return after

    def request_abort(self, rollout_id: UUID, reason: str, *, against: bool = False) -> None:
        unset = update(ROLLOUTS).where(ROLLOUTS.c.id == rollout_id, ROLLOUTS.c.abort_reason.is_(None))
        self._db.execute(unset.values(abort_reason=reason, abort_against=against, writes=ROLLOUTS.c.writes + 1))


def _all(rows: Iterable[Any]) -> list[Rollout]:
    return [_read(row) for row in rows]


def _read(row: Any) -> Rollout:
    rollout = _DOCUMENTS.read(row.document)
    return replace(rollout, writes=row.writes, abort_reason=row.abort_reason, abort_against=bool(row.abort_against))


def _changed(rollout: Rollout) -> RolloutChanged:
    return RolloutChanged(
        event_id=derived_id("rollout", rollout.id, rollout.revision),
        occurred_at=rollout.changed_at,
        correlation_id=rollout.correlation_id,
        cause_id=rollout.cause_id,
        model=rollout.model,
        rollout_id=rollout.id,
        revision=rollout.revision,
        route=rollout.route,
        strategy=rollout.strategy,
        state=rollout.state,
        from_version=rollout.from_version,
        to_version=rollout.to_version,
        step=rollout.step,
        weight_percent=rollout.weight_percent,
        reason=rollout.reason,
        evidence=finite_only(rollout.evidence),
        adaptive=rollout.adaptive,
    )
