"""Policies of a resource: each change is a new revision."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modelyard_contracts import ResourceChange
from modelyard_contracts.documents import read
from modelyard_contracts.policies import GatePolicy
from modelyard_contracts.sentences import explain
from modelyard_registry.domain.errors import StaleRevision
from modelyard_registry.domain.kinds import KINDS
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.values import Origin, Policy, Resource, ResourceKey
from modelyard_registry.usecases.history import publish
from modelyard_runtime.errors import Invalid, NotFound

GATE = "gate"


def policy_of(records: Records, resource: Resource, kind: str) -> Policy:
    """Return the policy in force; revision 0 is the default of this release."""
    known = KINDS[resource.key.kind].policies
    if kind not in known:
        raise NotFound(
            f"a {resource.key.kind} has no policy {kind[:80]!r}; it has {', '.join(sorted(known))}", field="kind"
        )
    return records.policies.newest(resource, kind) or Policy(kind, 0, known[kind]().model_dump(mode="json"))


def gate_of(records: Records, resource: Resource) -> tuple[int, GatePolicy]:
    """Revision and content of the gate policy."""
    policy = policy_of(records, resource, GATE)
    return policy.revision, read(GatePolicy, policy.document)


def set_policy(
    deps: Deps,
    key: ResourceKey,
    kind: str,
    document: Mapping[str, Any],
    *,
    expected_revision: int | None,
    origin: Origin,
) -> Policy:
    """Store a new revision; an equal document changes nothing.

    StaleRevision when `expected_revision` is not the newest; Invalid names the field that is wrong.
    """
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        current = policy_of(unit, resource, kind)
        checked = _checked(key.kind, kind, document)
        if expected_revision is not None and expected_revision != current.revision:
            raise StaleRevision(kind, expected_revision, current.revision)
        if current.revision and current.document == checked:
            return current
        policy = Policy(kind, current.revision + 1, checked)
        unit.policies.add(resource, policy, origin)
        publish(unit, resource, ResourceChange.POLICY_CHANGED, origin, policy=kind)
        return policy


def _checked(resource_kind: str, kind: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with all its fields; unknown fields are refused."""
    try:
        return KINDS[resource_kind].policies[kind].model_validate(document).model_dump(mode="json")
    except ValidationError as error:
        explained = explain(error, "document")
        raise Invalid(explained.sentence, field=explained.field) from error
