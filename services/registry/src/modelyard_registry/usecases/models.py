"""Models and their policies."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from modelyard_contracts import ResourceChange
from modelyard_contracts.policies import POLICIES
from modelyard_registry.domain.errors import ModelExists, StaleRevision
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.values import Model, Policy, Story
from modelyard_registry.usecases.ledger import tell
from modelyard_runtime.errors import NotFound
from modelyard_runtime.tracing import current_correlation_id


def begin_story(deps: Deps, actor: str, reason: str = "") -> Story:
    """A story that a caller begins; under the correlation id of the request, where it has one."""
    return Story(actor, reason, deps.clock(), current_correlation_id() or uuid4())


def create_model(
    deps: Deps, name: str, *, description: str, owner: str, labels: dict[str, str], actor: str
) -> tuple[Model, bool]:
    """The model, and whether it is new; ModelExists when it is there with other content."""
    story = begin_story(deps, actor)
    wanted = Model(name, description, owner, labels, revision=0, last_version=0, created_at=story.at)
    with deps.storage.transaction() as unit:
        if not unit.records.add_model(wanted):
            return _same(unit.records.model(name), wanted), False
        tell(unit, name, ResourceChange.CREATED, story)
        return replace(wanted, revision=1), True


def _same(found: Model, wanted: Model) -> Model:
    fields = [field for field in ("description", "owner", "labels") if getattr(found, field) != getattr(wanted, field)]
    if fields:
        raise ModelExists(found.name, fields)
    return found


def policy_of(records: Records, model: str, kind: str) -> Policy:
    """The policy in force, revision 0 being the default of this release."""
    if kind not in POLICIES:
        raise NotFound(f"there is no policy {kind!r}; there are {', '.join(POLICIES)}", field="kind")
    records.model(model)
    return records.policy(model, kind) or Policy(kind, 0, POLICIES[kind]().model_dump(mode="json"))


def set_policy(
    deps: Deps, model: str, kind: str, document: dict[str, Any], *, expected_revision: int | None, story: Story
) -> Policy:
    """A new revision; StaleRevision when `expected_revision` has passed. An equal document changes nothing.

    document: checked by the policy's class already, with all fields.
    """
    with deps.storage.transaction() as unit:
        unit.records.lock_model(model)
        current = policy_of(unit.records, model, kind)
        if expected_revision is not None and expected_revision != current.revision:
            raise StaleRevision(kind, expected_revision, current.revision)
        if current.revision and current.document == document:
            return current
        policy = Policy(kind, current.revision + 1, document)
        unit.records.add_policy(model, policy, story.actor, story.at)
        tell(unit, model, ResourceChange.POLICY_CHANGED, story, policy=kind)
        return policy
