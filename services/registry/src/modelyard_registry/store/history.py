"""Policies, history and rollouts in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Subquery, func, insert, select, update

from modelyard_contracts import RolloutState, VersionStage
from modelyard_registry.domain.values import Entry, Origin, Policy, PolicyRevision, Resource, RolloutSeen
from modelyard_registry.store.rows import fields, upsert
from modelyard_registry.store.tables import history, policies, resources, rollouts

SETTLED: Final = (RolloutState.PROMOTED.value, RolloutState.ROLLED_BACK.value)


class SqlPolicies:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def newest(self, resource: Resource, kind: str) -> Policy | None:
        query = (
            select(policies)
            .where(policies.c.resource_id == resource.id, policies.c.kind == kind)
            .order_by(policies.c.revision.desc())
            .limit(1)
        )
        row = self._db.execute(query).one_or_none()
        return Policy(row.kind, row.revision, row.document) if row else None

    def revisions(self, resource: Resource, kind: str, before: int, limit: int) -> Sequence[PolicyRevision]:
        p, reasons = policies.c, _policy_reasons(resource, kind)
        query = (
            select(
                p.kind, p.revision, p.document, p.actor, p.set_at, func.coalesce(reasons.c.reason, "").label("reason")
            )
            .outerjoin_from(policies, reasons, reasons.c.revision == p.revision)
            .where(p.resource_id == resource.id, p.kind == kind, p.revision < before)
        )
        return [
            PolicyRevision(**fields(row)) for row in self._db.execute(query.order_by(p.revision.desc()).limit(limit))
        ]

    def add(self, resource: Resource, policy: Policy, origin: Origin) -> None:
        row = {"resource_id": resource.id, "actor": origin.actor, "set_at": origin.at, **asdict(policy)}
        self._db.execute(insert(policies).values(**row))


def _policy_reasons(resource: Resource, kind: str) -> Subquery:
    """Reasons by revision: every revision of a policy is one line of the history, in order."""
    h = history.c
    number = func.row_number().over(order_by=h.position).label("revision")
    return select(number, h.reason).where(h.resource_id == resource.id, h.policy == kind).subquery()


class SqlHistory:
    """One connection's view; writes belong inside a transaction, under the lock of the resource."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def next_entry(self, resource: Resource, *, published: bool) -> tuple[int, int | None]:
        query = (
            update(resources)
            .where(resources.c.id == resource.id)
            .values(entries=resources.c.entries + 1, revision=resources.c.revision + int(published))
            .returning(resources.c.entries, resources.c.revision)
        )
        position, revision = self._db.execute(query).one()
        return int(position), int(revision) if published else None

    def append(self, resource: Resource, entry: Entry) -> None:
        self._db.execute(insert(history).values(resource_id=resource.id, **asdict(entry)))

    def has_been(self, resource: Resource, version: int, stage: VersionStage) -> bool:
        at = (history.c.resource_id == resource.id, history.c.version == version, history.c.stage == stage.value)
        return self._db.execute(select(history.c.position).where(*at).limit(1)).one_or_none() is not None

    def last_of(self, resource: Resource, version: int, change: str) -> Entry | None:
        at = (history.c.resource_id == resource.id, history.c.version == version, history.c.change == change)
        row = self._db.execute(select(history).where(*at).order_by(history.c.position.desc()).limit(1)).one_or_none()
        return Entry(**fields(row, "resource_id")) if row else None

    def page(self, resource: Resource, after: int, limit: int) -> Sequence[Entry]:
        query = (
            select(history)
            .where(history.c.resource_id == resource.id, history.c.position > after)
            .order_by(history.c.position)
            .limit(limit)
        )
        return [Entry(**fields(row, "resource_id")) for row in self._db.execute(query)]


class SqlRollouts:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def get(self, rollout_id: UUID) -> RolloutSeen | None:
        row = self._db.execute(select(rollouts).where(rollouts.c.rollout_id == rollout_id)).one_or_none()
        return RolloutSeen(**fields(row)) if row else None

    def save(self, seen: RolloutSeen) -> None:
        upsert(self._db, rollouts, asdict(seen), key=("rollout_id",))

    def last_settled(self, model: str, but: UUID) -> datetime | None:
        query = select(func.max(rollouts.c.occurred_at, type_=rollouts.c.occurred_at.type)).where(
            rollouts.c.model == model, rollouts.c.rollout_id != but, rollouts.c.state.in_(SETTLED)
        )
        found: datetime | None = self._db.execute(query).scalar_one()
        return found
