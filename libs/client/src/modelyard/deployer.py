"""The deployer's API."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from modelyard.results import PublishedRoute, ReplicaInfo, RolloutRun, Votes
from modelyard.transport import ApiClient, part, text


class DeployerClient(ApiClient):
    """Rollouts, votes, routes and replicas. `changes()` follows rollouts."""

    def start_rollout(
        self,
        model: str,
        version: int,
        *,
        reason: str,
        strategy: Literal["full", "canary"] | None = None,
        correlation_id: UUID | str | None = None,
    ) -> RolloutRun:
        """Move traffic to a version; without a strategy by the model's rollout policy."""
        body = {
            "model": model,
            "version": version,
            "action": "start",
            "strategy": strategy,
            "reason": reason,
            "correlation_id": text(correlation_id),
        }
        return RolloutRun.model_validate(self.post("/v1/rollouts", body))

    def roll_back(self, model: str, *, reason: str, version: int | None = None, wait_s: float = 10.0) -> RolloutRun:
        """Go back to `version`, or to the previous one; returns when all live routers applied it, or after `wait_s`."""
        body = {"model": model, "version": version, "action": "roll_back", "reason": reason, "wait_s": wait_s}
        return RolloutRun.model_validate(self.post("/v1/rollouts", body, timeout_s=wait_s + 10.0))

    def abort_rollout(self, model: str, *, reason: str, version: int | None = None) -> RolloutRun:
        """Abort the open rollout; the version that served before gets all traffic again.

        version: abort only a rollout to this version; conflict (409) when another one is open.
        """
        body = {"model": model, "version": version, "action": "abort", "reason": reason}
        return RolloutRun.model_validate(self.post("/v1/rollouts", body))

    def advance_rollout(self, rollout_id: UUID | str, step: int, *, reason: str) -> RolloutRun:
        """Go to the step after `step` now, whatever evidence is missing; conflict (409) when it is at another step."""
        return self._act(rollout_id, "advance", step, reason)

    def hold_rollout(self, rollout_id: UUID | str, step: int, *, reason: str) -> RolloutRun:
        """Keep the step until it is resumed or advanced; harm still aborts the rollout."""
        return self._act(rollout_id, "hold", step, reason)

    def resume_rollout(self, rollout_id: UUID | str, step: int, *, reason: str) -> RolloutRun:
        """Let a held step go on by the policy."""
        return self._act(rollout_id, "resume", step, reason)

    def _act(self, rollout_id: UUID | str, action: str, step: int, reason: str) -> RolloutRun:
        body = {"step": step, "reason": reason}
        return RolloutRun.model_validate(self.post(f"/v1/rollouts/{rollout_id}/{action}", body))

    def rollout(self, rollout_id: UUID | str) -> RolloutRun:
        return RolloutRun.model_validate(self.get(f"/v1/rollouts/{rollout_id}"))

    def rollouts(
        self,
        model: str | None = None,
        *,
        versions: Sequence[tuple[str, int]] = (),
        limit: int = 100,
        unfinished: bool = False,
    ) -> tuple[RolloutRun, ...]:
        """Newest first, at most `limit`; of all models without one. unfinished: only those that have not ended.

        versions: only rollouts to one of these, at most 100.
        """
        named = [f"{name}@{number}" for name, number in versions] or None
        asked = {"model": model, "version": named, "limit": limit, "open": True if unfinished else None}
        return tuple(map(RolloutRun.model_validate, self.items("/v1/rollouts", **asked)))

    def votes(self, model: str) -> Votes:
        """The members of an adaptive model, their weights, and the vote against its best member."""
        return Votes.model_validate(self.get(f"/v1/models/{part(model)}/votes"))

    # routes
    def route(self, route: str) -> PublishedRoute:
        return PublishedRoute.model_validate(self.get(f"/v1/routes/{part(route)}"))

    def routes(self) -> tuple[PublishedRoute, ...]:
        return tuple(map(PublishedRoute.model_validate, self.items("/v1/routes")))

    def set_route(self, route: str, spec: Mapping[str, Any]) -> PublishedRoute:
        """Create or replace the specification of a route; see `modelyard_contracts.routes.RouteSpec`."""
        response = self.request("PUT", f"/v1/routes/{part(route)}", json=dict(spec))
        return PublishedRoute.model_validate(response.json())

    def delete_route(self, route: str) -> None:
        self.request("DELETE", f"/v1/routes/{part(route)}")

    def replicas(self, model: str | None = None) -> tuple[ReplicaInfo, ...]:
        return tuple(map(ReplicaInfo.model_validate, self.items("/v1/replicas", model=model)))
