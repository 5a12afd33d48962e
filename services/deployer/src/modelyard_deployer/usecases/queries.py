"""Synchronous lookups, with errors that the API returns."""

from collections.abc import Callable, Collection
from typing import Final
from uuid import UUID

from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Version
from modelyard_runtime.errors import Conflict, NotFound, Unavailable
from modelyard_runtime.paging import first_readable

SERVABLE: Final = frozenset({"approved", "live"})


def find_version(deps: Deps, model: str, version: int, *, field: str = "version") -> Version:
    """Return a version that may serve. Raises NotFound or Conflict, naming `field`, or Unavailable."""
    try:
        found = deps.registry.version(model, version)
    except VersionUnusable as error:
        raise NotFound(f"{field}: {error}", field=field) from error
    except RegistryUnavailable as error:
        raise Unavailable(f"the registry is unavailable: {error}") from error
    if found.stage not in SERVABLE:
        raise Conflict(f"{field}: version {version} of {model} is {found.stage}; approve it first", field=field)
    return found


def newest_readable(
    deps: Deps,
    model: str | None,
    limit: int,
    readable: Callable[[str], bool],
    *,
    unfinished: bool,
    versions: Collection[tuple[str, int]] = (),
) -> list[Rollout]:
    """At most `limit` rollouts, newest first; of all models if `model` is None. readable: filters by model."""
    with deps.store.read() as records:
        return first_readable(
            lambda rows, offset: records.rollouts.recent(model, rows, offset, unfinished=unfinished, versions=versions),
            lambda one: readable(one.model),
            limit,
        )


def find_rollout(deps: Deps, rollout_id: UUID) -> Rollout:
    """Return a rollout. Raises NotFound for an unknown id."""
    with deps.store.read() as records:
        found = records.rollouts.get(rollout_id)
    if found is None:
        raise NotFound(f"no rollout {rollout_id}")
    return found
