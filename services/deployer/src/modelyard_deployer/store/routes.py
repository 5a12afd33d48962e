"""Routes, their published tables and the router acknowledgements in SQL."""

from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Select, delete, func, insert, select, update

from modelyard_contracts import RouteApplied, RoutePublished
from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.routes import Route, RouterAck
from modelyard_deployer.store.documents import Documents
from modelyard_deployer.store.tables import ACKS, PUBLICATIONS, ROUTE_MODELS, ROUTES
from modelyard_runtime.database import Transaction

KEPT_PUBLICATIONS: Final = 200
"""Tables kept per route; far more than are published within ROUTER_MEMORY_S."""
_DOCUMENTS: Final = Documents(Route)


class SqlRoutes:
    def __init__(self, tx: Transaction) -> None:
        self._db, self._outbox, self._changes = tx.connection, tx.outbox, tx.changes

    def get(self, name: str) -> Route | None:
        document = self._db.execute(select(ROUTES.c.document).where(ROUTES.c.name == name)).scalar_one_or_none()
        return None if document is None else _DOCUMENTS.read(document)

    def of_model(self, model: str) -> list[Route]:
        query = select(ROUTES.c.document).where(ROUTES.c.name.in_(_carrying(model))).order_by(ROUTES.c.name)
        return [_DOCUMENTS.read(document) for document in self._db.execute(query).scalars()]

    def all(self) -> list[Route]:
        documents = self._db.execute(select(ROUTES.c.document).order_by(ROUTES.c.name)).scalars()
        return [route for route in map(_DOCUMENTS.read, documents) if not route.deleted]

    def save(self, before: Route | None, after: Route) -> None:
        values = {"sequence": after.sequence, "writes": after.writes + 1}
        document = _DOCUMENTS.write(replace(after, writes=after.writes + 1))
        if before is None:
            self._db.execute(insert(ROUTES).values(name=after.name, **values, document=document))
        else:
            unchanged = (ROUTES.c.name == before.name, ROUTES.c.writes == before.writes)
            if self._db.execute(update(ROUTES).where(*unchanged).values(**values, document=document)).rowcount != 1:
                raise StaleRollout(f"another writer changed route {before.name}")
        self._save_models(before, after)
        self._changes.add("route", after.name, model=after.model)

    def _save_models(self, before: Route | None, after: Route) -> None:
        models = frozenset() if after.deleted else after.models
        if before is not None and not before.deleted and before.models == models:
            return
        self._db.execute(delete(ROUTE_MODELS).where(ROUTE_MODELS.c.route == after.name))
        for model in sorted(models):
            self._db.execute(insert(ROUTE_MODELS).values(route=after.name, model=model))

    def publish(self, event: RoutePublished) -> None:
        row = {"route": event.route, "sequence": event.sequence, "published_at": event.occurred_at}
        self._db.execute(insert(PUBLICATIONS).values(**row, document=event.model_dump(mode="json")))
        old = PUBLICATIONS.c.sequence <= event.sequence - KEPT_PUBLICATIONS
        self._db.execute(delete(PUBLICATIONS).where(PUBLICATIONS.c.route == event.route, old))
        self._outbox.add(event, key=event.key)

    def published(self, name: str) -> RoutePublished | None:
        query = select(PUBLICATIONS.c.document).where(PUBLICATIONS.c.route == name)
        found = self._db.execute(query.order_by(PUBLICATIONS.c.sequence.desc()).limit(1)).scalar_one_or_none()
        return None if found is None else RoutePublished.model_validate(found)

    def newest_before(self, model: str, at: datetime) -> dict[str, int]:
        older = (PUBLICATIONS.c.route.in_(_carrying(model)), PUBLICATIONS.c.published_at < at)
        query = select(PUBLICATIONS.c.route, func.max(PUBLICATIONS.c.sequence).label("newest")).where(*older)
        return {row.route: row.newest for row in self._db.execute(query.group_by(PUBLICATIONS.c.route))}


class SqlAcknowledgements:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def of_route(self, name: str) -> tuple[RouterAck, ...]:
        return tuple(map(_ack, self._db.execute(select(ACKS).where(ACKS.c.route == name).order_by(ACKS.c.router_id))))

    def of_model(self, model: str) -> dict[str, tuple[RouterAck, ...]]:
        query = select(ACKS).where(ACKS.c.route.in_(_carrying(model))).order_by(ACKS.c.route, ACKS.c.router_id)
        found = groupby(self._db.execute(query), key=attrgetter("route"))
        return {route: tuple(map(_ack, rows)) for route, rows in found}

    def add(self, event: RouteApplied, at: datetime) -> None:
        key = (ACKS.c.route == event.route, ACKS.c.router_id == event.router_id)
        known = self._db.execute(select(ACKS.c.sequence).where(*key)).scalar_one_or_none()
        values = {"sequence": event.sequence, "accepted": event.accepted, "reason": event.reason, "seen_at": at}
        if known is None:
            self._db.execute(insert(ACKS).values(route=event.route, router_id=event.router_id, **values))
        elif known <= event.sequence:
            self._db.execute(update(ACKS).where(*key).values(**values))

    def seen_since(self, at: datetime) -> frozenset[str]:
        return frozenset(self._db.execute(select(ACKS.c.router_id).where(ACKS.c.seen_at >= at).distinct()).scalars())

    def forget(self, before: datetime) -> int:
        newest = select(func.max(ROUTES.c.sequence)).where(ROUTES.c.name == ACKS.c.route).scalar_subquery()
        return self._db.execute(delete(ACKS).where(ACKS.c.seen_at < before, ACKS.c.sequence < newest)).rowcount


def _carrying(model: str) -> "Select[tuple[str]]":
    """Names of the routes that carry a model."""
    return select(ROUTE_MODELS.c.route).where(ROUTE_MODELS.c.model == model)


def _ack(row: Any) -> RouterAck:
    return RouterAck(row.router_id, row.sequence, row.accepted, row.reason, row.seen_at)
