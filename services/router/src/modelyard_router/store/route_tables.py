"""The route tables in use: replaced only by newer ones, and kept in a file for a start without a broker."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from modelyard_contracts import RoutePublished
from modelyard_contracts.documents import read
from modelyard_router.domain.errors import UnusableRoute
from modelyard_router.plan.route import Route

FILE: Final = "routes.json"
MAX_JUMP: Final = 1_000_000_000
"""How far a table may be ahead of the one in use: more publications than a route ever has."""
log = logging.getLogger(__name__)


class Effect(StrEnum):
    """The result of a published table."""

    APPLIED = "applied"
    STALE = "stale"
    """Not newer than the applied table: ignored."""
    REFUSED = "refused"
    """It cannot be compiled: the previous table stays."""


@dataclass(frozen=True)
class Offered:
    """The result, and the reason of a refusal."""

    effect: Effect
    reason: str = ""


@dataclass(frozen=True)
class Refused:
    """A table that cannot be used."""

    sequence: int
    reason: str


class RouteTables:
    """Routes by name and by path. Changed and read on one event loop."""

    def __init__(
        self, folder: Path, compile_: Callable[[RoutePublished], Route], changed: Callable[[], None] = lambda: None
    ) -> None:
        self._file = folder / FILE
        self._compile, self._changed = compile_, changed
        self.routes: dict[str, Route] = {}
        self.refused: dict[str, Refused] = {}
        """The newest table of each route that cannot be used and was not replaced since."""
        self._removed: dict[str, int] = {}
        """Sequence at which a route was deleted: a late earlier table does not bring it back."""
        self.by_predict_path: dict[str, Route] = {}
        self.by_name: dict[str, Route] = {}
        """By route name, and by model name where exactly one route serves the model."""

    def offer(self, published: RoutePublished) -> Offered:
        """Apply a table if it is newer than the present one and can be compiled; one without plan deletes the route."""
        known = self.routes.get(published.route)
        if known is not None and published.sequence <= known.published.sequence:
            return Offered(Effect.STALE)
        if published.sequence <= self._removed.get(published.route, -1):
            return Offered(Effect.STALE)
        if problem := self._jump(published):
            return self._refuse(published, problem)
        if not published.plan:
            self._removed[published.route] = published.sequence
            self.remove(published.route)
            return Offered(Effect.APPLIED)
        try:
            route = self._compile(published)
        except UnusableRoute as error:
            return self._refuse(published, str(error))
        except Exception as error:  # a table that we failed to foresee must not affect the others
            log.exception("route %s, sequence %d", published.route, published.sequence)
            return self._refuse(published, f"route {published.route}: {type(error).__name__}: {error}")
        self.refused.pop(published.route, None)
        self.routes[published.route] = route
        self._index()
        self._save()
        return Offered(Effect.APPLIED)

    def _jump(self, published: RoutePublished) -> str:
        """Why a sequence cannot be the deployer's, which counts up by one; empty if it can be.

        A table that jumped far ahead would make all later ones stale.
        """
        known = self.routes.get(published.route)
        newest = max(known.published.sequence if known else 0, self._removed.get(published.route, 0))
        if published.sequence <= newest + MAX_JUMP:
            return ""
        return (
            f"route {published.route}: sequence {published.sequence} is more than {MAX_JUMP} after {newest}, the one "
            "in use; if the deployer published it, remove routes.json from the data folder and restart the router"
        )

    def _refuse(self, published: RoutePublished, reason: str) -> Offered:
        log.warning("route %s, sequence %d refused: %s", published.route, published.sequence, reason)
        self.refused[published.route] = Refused(published.sequence, reason)
        return Offered(Effect.REFUSED, reason)

    def remove(self, name: str) -> None:
        """Remove a route after its tombstone."""
        self.refused.pop(name, None)
        if self.routes.pop(name, None) is not None:
            self._index()
            self._save()

    def recompile(self) -> None:
        """Compile all applied tables again, after the serving token changed."""
        self.routes = {name: self._compile(route.published) for name, route in self.routes.items()}
        self._index()

    def load(self) -> None:
        """Apply the tables of the last run, each by itself; what cannot be used comes from the topic again."""
        for name, document in self._stored().items():
            try:
                published = read(RoutePublished, document)
                self.routes[published.route] = self._compile(published)
            except Exception as error:
                log.warning("%s: the table of %s cannot be used: %s", self._file, name, error)
        self._index()

    def _stored(self) -> dict[str, Any]:
        try:
            documents = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s cannot be used: %s", self._file, error)
            return {}
        return documents if isinstance(documents, dict) else {}

    def _index(self) -> None:
        routes = self.routes.values()
        models = [route.published.model for route in routes]
        self.by_predict_path = {f"/v1/predict/{route.name}": route for route in routes}
        self.by_name = {route.published.model: route for route in routes if models.count(route.published.model) == 1}
        self.by_name |= self.routes
        self._changed()

    def _save(self) -> None:
        """Write all or nothing; after a failure the next run starts without tables until it has read Kafka."""
        documents = {name: route.published.model_dump(mode="json") for name, route in self.routes.items()}
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(documents))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._file, error)
