"""Policies of a model."""

from typing import Any, Literal, overload

from modelyard.records import PolicyInfo, PolicyRevision
from modelyard.registry.paths import PagedClient, model_path
from modelyard.transport import given, part
from modelyard_contracts.documents import read
from modelyard_contracts.policies import POLICIES, GatePolicy, RetrainPolicy, RolloutPolicy

Policy = GatePolicy | RetrainPolicy | RolloutPolicy


class PoliciesClient(PagedClient):
    """Policies of a model."""

    @overload
    def policy(self, model: str, kind: Literal["gate"]) -> GatePolicy: ...
    @overload
    def policy(self, model: str, kind: Literal["retrain"]) -> RetrainPolicy: ...
    @overload
    def policy(self, model: str, kind: Literal["rollout"]) -> RolloutPolicy: ...
    def policy(self, model: str, kind: str) -> Any:
        """The policy in force, or the default. Fields of a newer release are ignored."""
        return read(POLICIES[kind], self.policy_info(model, kind).document)

    def policy_info(self, model: str, kind: str) -> PolicyInfo:
        return PolicyInfo.model_validate(self.get(f"{model_path(model)}/policies/{part(kind)}"))

    def policy_history(self, model: str, kind: str) -> tuple[PolicyRevision, ...]:
        """Every revision with who set it, when and why, newest first; empty when the policy was never set."""
        pages = self.pages(f"{model_path(model)}/policies/{part(kind)}/history")
        return tuple(PolicyRevision.model_validate(item) for item in pages)

    def set_policy(
        self, model: str, policy: Policy, *, expected_revision: int | None = None, reason: str = ""
    ) -> PolicyInfo:
        """A new revision of the policy of that type; conflict (409) when `expected_revision` is given and passed."""
        kind = next(kind for kind, type_ in POLICIES.items() if isinstance(policy, type_))
        body = {"document": policy.model_dump(mode="json"), "expected_revision": expected_revision, "reason": reason}
        path = f"{model_path(model)}/policies/{kind}"
        return PolicyInfo.model_validate(self.request("PUT", path, json=given(body)).json())
