"""Policies of resources of one kind: `/v1/{kind}s/{reference}/policies`."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query

from modelyard_registry.api.callers import actor_of
from modelyard_registry.api.fields import Limit, ReferencePath
from modelyard_registry.api.requests import NewPolicyBody
from modelyard_registry.api.responses import Page, PolicyOut, PolicyRevisionOut
from modelyard_registry.domain.names import key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.policies import policy_of, set_policy
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow

NO_LIMIT: Final = 2**31 - 1


def routes(deps: Deps, kind: str) -> APIRouter:
    """Reads and changes of one kind."""
    router = APIRouter(prefix=f"/v1/{kind}s/{{reference}}/policies/{{policy}}", tags=[kind])
    reader = Depends(allow("read", "policy"))
    setter = Depends(allow("set-policy", "policy"))

    @router.get("")
    def show(reference: ReferencePath, policy: str, _: Principal = reader) -> PolicyOut:
        """The policy in force; revision 0 is the default of this release."""
        with deps.storage.read() as records:
            resource = records.resources.get(key_of(kind, reference))
            return PolicyOut.model_validate(policy_of(records, resource, policy))

    @router.get("/history")
    def history(
        reference: ReferencePath,
        policy: str,
        after: Annotated[int, Query(ge=1, le=NO_LIMIT, description="only revisions before this one")] = NO_LIMIT,
        limit: Limit = 100,
        _: Principal = reader,
    ) -> Page[PolicyRevisionOut]:
        """Every revision with who set it, when and why, newest first; empty for the default of this release."""
        with deps.storage.read() as records:
            resource = records.resources.get(key_of(kind, reference))
            policy_of(records, resource, policy)  # NotFound names the policies that exist
            found = records.policies.revisions(resource, policy, after, limit + 1)
        items = [PolicyRevisionOut.model_validate(one) for one in found[:limit]]
        return Page(items=items, next_after=items[-1].revision if len(found) > limit else None)

    @router.put("")
    def change(reference: ReferencePath, policy: str, body: NewPolicyBody, principal: Principal = setter) -> PolicyOut:
        """Store a new revision. An equal document changes nothing."""
        changed = set_policy(
            deps,
            key_of(kind, reference),
            policy,
            body.document,
            expected_revision=body.expected_revision,
            origin=origin_of(deps, actor_of(principal, body.actor), body.reason),
        )
        return PolicyOut.model_validate(changed)

    return router
