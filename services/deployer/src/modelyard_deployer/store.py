"""Rollouts, routes, replicas and acknowledgements in SQL. Everything runs in the caller's transaction."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, func, insert, select, update

from modelyard_contracts import RolloutChanged, RolloutState, RouteApplied, RoutePublished, RouteTarget, derived_id
from modelyard_deployer.domain.model import ACTIVE_STATES, Kind, Replica, Rollout, Route, RouterAck, Version
from modelyard_deployer.domain.routers import ROUTER_MEMORY_S
from modelyard_deployer.tables import ACKS, PUBLICATIONS, REPLICAS, ROLLOUTS, ROUTES, VERSIONS
from modelyard_runtime.database import Transaction
from modelyard_runtime.errors import ModelyardError

KEPT_PUBLICATIONS: Final = 200
"""Of each route; far more than a minute's worth."""
_ROLLOUT: Final = TypeAdapter(Rollout)
_ROUTE: Final = TypeAdapter(Route)
_VERSION: Final = TypeAdapter(Version)
_REPLICA: Final = TypeAdapter(Replica)


class StaleRollout(ModelyardError):
    """Somebody wrote the row after we read it; read all facts again."""

    retryable = True
    code = "stale_rollout"


@dataclass(frozen=True)
class Snapshot:
    """All that the database knows about one model."""

    model: str
    active: Rollout | None
    waiting: tuple[Rollout, ...]
    """Those whose turn has not come, in their order; roll-backs go first."""
    route: Route | None
    versions: dict[int, Version]
    acks: tuple[RouterAck, ...]
    settled_sequence: int

    @property
    def pending(self) -> Rollout | None:
        return self.waiting[0] if self.waiting else None


# reading


def snapshot(db: Connection, model: str, now: datetime) -> Snapshot:
    open_ = [_rollout(row) for row in db.execute(_open_rollouts(model))]
    waiting = [rollout for rollout in open_ if rollout.state is RolloutState.PENDING]
    route = route_of(db, model)
    versions = db.execute(select(VERSIONS.c.document).where(VERSIONS.c.model == model)).scalars()
    known = [_VERSION.validate_python(document) for document in versions]
    return Snapshot(
        model=model,
        active=next((rollout for rollout in open_ if rollout.active), None),
        waiting=tuple(sorted(waiting, key=lambda rollout: rollout.kind is not Kind.ROLL_BACK)),
        route=route,
        versions={version.version: version for version in known},
        acks=acks(db, route.name) if route else (),
        settled_sequence=_settled_sequence(db, route.name, now) if route else 0,
    )


def _open_rollouts(model: str) -> Any:
    states = (RolloutState.PENDING, *ACTIVE_STATES)
    return (
        select(ROLLOUTS).where(ROLLOUTS.c.model == model, ROLLOUTS.c.state.in_(states)).order_by(ROLLOUTS.c.created_at)
    )


def models(db: Connection) -> list[str]:
    """Models that may need something done."""
    states = (RolloutState.PENDING, *ACTIVE_STATES)
    waiting = select(ROLLOUTS.c.model).where(ROLLOUTS.c.state.in_(states))
    running = select(REPLICAS.c.model)
    found = db.execute(select(ROUTES.c.model).union(waiting, running)).scalars()
    return sorted(found)


def rollout(db: Connection, rollout_id: UUID) -> Rollout | None:
    row = db.execute(select(ROLLOUTS).where(ROLLOUTS.c.id == rollout_id)).one_or_none()
    return None if row is None else _rollout(row)


def rollouts(db: Connection, model: str | None = None, limit: int = 100) -> list[Rollout]:
    """The newest first."""
    query = select(ROLLOUTS).order_by(ROLLOUTS.c.created_at.desc()).limit(limit)
    if model is not None:
        query = query.where(ROLLOUTS.c.model == model)
    return [_rollout(row) for row in db.execute(query)]


def route_of(db: Connection, model: str) -> Route | None:
    document = db.execute(select(ROUTES.c.document).where(ROUTES.c.model == model)).scalar_one_or_none()
    return None if document is None else _ROUTE.validate_python(document)


def route(db: Connection, name: str) -> Route | None:
    document = db.execute(select(ROUTES.c.document).where(ROUTES.c.name == name)).scalar_one_or_none()
    return None if document is None else _ROUTE.validate_python(document)


def routes(db: Connection) -> list[Route]:
    return [_ROUTE.validate_python(d) for d in db.execute(select(ROUTES.c.document).order_by(ROUTES.c.name)).scalars()]


def publication(db: Connection, name: str) -> RoutePublished | None:
    """The newest table of a route."""
    query = select(PUBLICATIONS.c.document).where(PUBLICATIONS.c.route == name)
    found = db.execute(query.order_by(PUBLICATIONS.c.sequence.desc()).limit(1)).scalar_one_or_none()
    return None if found is None else RoutePublished.model_validate(found)


def acks(db: Connection, name: str) -> tuple[RouterAck, ...]:
    rows = db.execute(select(ACKS).where(ACKS.c.route == name).order_by(ACKS.c.router_id))
    return tuple(RouterAck(row.router_id, row.sequence, row.accepted, row.reason, row.seen_at) for row in rows)


def replicas(db: Connection, model: str | None = None) -> list[Replica]:
    query = select(REPLICAS.c.document).order_by(REPLICAS.c.model, REPLICAS.c.version, REPLICAS.c.id)
    if model is not None:
        query = query.where(REPLICAS.c.model == model)
    return [_REPLICA.validate_python(document) for document in db.execute(query).scalars()]


def versions_in_use(db: Connection, rollback_versions: int) -> list[Version]:
    """What has replicas, serves, is being rolled out or waits for it, and the newest of what served before."""
    used = {(row.model, row.version) for row in db.execute(select(REPLICAS.c.model, REPLICAS.c.version))}
    for route in routes(db):
        before = route.history[max(0, len(route.history) - rollback_versions) :]
        used |= {(route.model, version) for version in (route.champion, *before)}
    open_ = select(ROLLOUTS).where(ROLLOUTS.c.state.in_((RolloutState.PENDING, *ACTIVE_STATES)))
    used |= {(rollout.model, rollout.to_version) for rollout in map(_rollout, db.execute(open_))}
    rows = db.execute(select(VERSIONS))
    return [_VERSION.validate_python(row.document) for row in rows if (row.model, row.version) in used]


def _rollout(row: Any) -> Rollout:
    asked = {"abort_reason": row.abort_reason, "abort_against": bool(row.abort_against)}
    return replace(_ROLLOUT.validate_python(row.document), writes=row.writes, **asked)


def _settled_sequence(db: Connection, name: str, now: datetime) -> int:
    before = now - timedelta(seconds=ROUTER_MEMORY_S)
    query = select(func.max(PUBLICATIONS.c.sequence))
    found = db.execute(query.where(PUBLICATIONS.c.route == name, PUBLICATIONS.c.published_at < before)).scalar_one()
    return found or 0


# writing


def add_rollout(db: Connection, new: Rollout) -> None:
    row = {"id": new.id, "model": new.model, "state": new.state, "created_at": new.created_at, "writes": new.writes}
    db.execute(insert(ROLLOUTS).values(**row, abort_reason=None, document=_json(_ROLLOUT, new)))


def save_rollout(tx: Transaction, before: Rollout, after: Rollout) -> Rollout:
    """Write it once, and tell the topic when it moved. StaleRollout when somebody wrote it since it was read.

    A rollout that never began is told to nobody: nothing about its version was decided.
    """
    moved = (before.state, before.step) != (after.state, after.step)
    told = moved and (after.active or before.active)
    after = replace(after, writes=before.writes + 1, revision=before.revision + told)
    done = tx.connection.execute(
        update(ROLLOUTS)
        .where(ROLLOUTS.c.id == before.id, ROLLOUTS.c.writes == before.writes)
        .values(state=after.state, writes=after.writes, document=_json(_ROLLOUT, after))
    )
    if done.rowcount != 1:
        raise StaleRollout(f"rollout {before.id} was written by somebody else")
    if told:
        tx.outbox.add(_told(after), key=after.model)
    return after


def _told(rollout: Rollout) -> RolloutChanged:
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
        evidence=dict(rollout.evidence),
    )


def ask_abort(db: Connection, rollout_id: UUID, reason: str, *, against: bool = False) -> None:
    """Remember that it is to end; the first reason stays. against: it speaks against the version."""
    asked = update(ROLLOUTS).where(ROLLOUTS.c.id == rollout_id, ROLLOUTS.c.abort_reason.is_(None))
    db.execute(asked.values(abort_reason=reason, abort_against=against, writes=ROLLOUTS.c.writes + 1))


def save_route(db: Connection, before: Route | None, after: Route) -> None:
    """StaleRollout when somebody wrote the route since it was read."""
    values = {"sequence": after.sequence, "document": _json(_ROUTE, after)}
    if before is None:
        db.execute(insert(ROUTES).values(name=after.name, model=after.model, **values))
        return
    at = (ROUTES.c.name == before.name, ROUTES.c.sequence == before.sequence)
    if db.execute(update(ROUTES).where(*at).values(**values)).rowcount != 1:
        raise StaleRollout(f"route {before.name} was written by somebody else")


def publish(
    tx: Transaction,
    before: Route | None,
    after: Route,
    targets: tuple[RouteTarget, ...],
    versions: dict[int, Version],
    about: Rollout | None,
    now: datetime,
) -> Route:
    """The next table of a route, stored and queued with the change that made it."""
    new = replace(after, sequence=after.sequence + 1, targets=targets)
    save_route(tx.connection, before, new)
    schemas = {versions[t.version].manifest.feature_schema for t in targets}
    message = RoutePublished(
        event_id=derived_id("route", new.name, new.sequence),
        occurred_at=now,
        correlation_id=about.correlation_id if about else derived_id("route", new.name),
        cause_id=derived_id("rollout", about.id, about.revision) if about else None,
        route=new.name,
        model=new.model,
        sequence=new.sequence,
        salt=new.salt,
        targets=targets,
        feature_schemas={schema.id: schema.model_dump_json() for schema in schemas},
        timeout_ms=new.policy.timeout_ms,
        rollout_id=about.id if about else None,
        reason=about.reason if about else "the replicas have moved",
    )
    tx.connection.execute(
        insert(PUBLICATIONS).values(
            route=new.name, sequence=new.sequence, published_at=now, document=message.model_dump(mode="json")
        )
    )
    old = PUBLICATIONS.c.sequence <= new.sequence - KEPT_PUBLICATIONS
    tx.connection.execute(delete(PUBLICATIONS).where(PUBLICATIONS.c.route == new.name, old))
    tx.outbox.add(message, key=message.key)
    return new


def add_ack(db: Connection, event: RouteApplied, seen_at: datetime) -> None:
    """The newest word of a router about a route; a lower sequence than before says nothing new."""
    at = (ACKS.c.route == event.route, ACKS.c.router_id == event.router_id)
    known = db.execute(select(ACKS.c.sequence).where(*at)).scalar_one_or_none()
    values = {"sequence": event.sequence, "accepted": event.accepted, "reason": event.reason, "seen_at": seen_at}
    if known is None:
        db.execute(insert(ACKS).values(route=event.route, router_id=event.router_id, **values))
    elif known <= event.sequence:
        db.execute(update(ACKS).where(*at).values(**values))


def drop_acks(db: Connection, before: datetime) -> int:
    """Forget the routers that nobody has heard of since and that do not have a route's newest table; how many rows."""
    newest = select(func.max(ROUTES.c.sequence)).where(ROUTES.c.name == ACKS.c.route).scalar_subquery()
    return db.execute(delete(ACKS).where(ACKS.c.seen_at < before, ACKS.c.sequence < newest)).rowcount


def newest_started(db: Connection, model: str) -> int:
    """The highest version that a rollout of this model began for, or waits for; 0 when there was none."""
    every = rollouts(db, model, limit=10_000)
    return max((one.to_version for one in every if one.revision > 0 or not one.state.final), default=0)


def end_pending(tx: Transaction, rollout_id: UUID, at: datetime) -> None:
    """End one that waits and was asked to end; nobody was told of it, so nobody is told."""
    waiting = rollout(tx.connection, rollout_id)
    if waiting is not None and waiting.state is RolloutState.PENDING:
        reason = waiting.abort_reason or ""
        save_rollout(tx, waiting, replace(waiting, state=RolloutState.ABORTED, reason=reason, changed_at=at))


def save_version(db: Connection, version: Version) -> None:
    at = (VERSIONS.c.model == version.model, VERSIONS.c.version == version.version)
    values = {"document": _json(_VERSION, version)}
    if db.execute(update(VERSIONS).where(*at).values(**values)).rowcount == 0:
        db.execute(insert(VERSIONS).values(model=version.model, version=version.version, **values))


def save_replica(db: Connection, replica: Replica) -> None:
    values = {"document": _json(_REPLICA, replica)}
    if db.execute(update(REPLICAS).where(REPLICAS.c.id == replica.id).values(**values)).rowcount == 0:
        db.execute(insert(REPLICAS).values(id=replica.id, model=replica.model, version=replica.version, **values))


def drop_replicas(db: Connection, ids: Iterable[UUID]) -> None:
    for replica_id in ids:
        db.execute(delete(REPLICAS).where(REPLICAS.c.id == replica_id))


def _json(adapter: TypeAdapter[Any], value: Any) -> Any:
    return adapter.dump_python(value, mode="json")
