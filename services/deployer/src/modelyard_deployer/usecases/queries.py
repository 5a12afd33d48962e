"""Checks and reads for callers that wait for an answer."""

from typing import Final
from uuid import UUID

from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.ports import Deps
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_runtime.errors import Conflict, NotFound, Unavailable

SERVABLE: Final = frozenset({"approved", "live"})


def require_servable(deps: Deps, model: str, version: int) -> None:
    """Report at once what the reconciler would find later: NotFound, Conflict or Unavailable."""
    try:
        stage = deps.registry.version(model, version).stage
    except VersionUnusable as error:
        raise NotFound(f"version: {error}", field="version") from error
    except RegistryUnavailable as error:
        raise Unavailable(f"the registry does not answer: {error}") from error
    if stage not in SERVABLE:
        raise Conflict(f"version {version} of {model} is {stage}; approve it first", field="version")


def find_rollout(deps: Deps, rollout_id: UUID) -> Rollout:
    """The rollout; NotFound if there is none with this id."""
    with deps.store.read() as records:
        found = records.rollouts.get(rollout_id)
    if found is None:
        raise NotFound(f"no rollout {rollout_id}")
    return found
