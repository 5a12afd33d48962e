"""Authentication: the runtime's authenticator with a small cache, so that a known key costs one lookup.

Raw keys are not kept: the cache is keyed by their fingerprints.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Final

from modelyard_contracts.references import DEFAULT_WORKSPACE, workspace_of
from modelyard_router.domain.errors import BrokenContract, NotAllowed, Unauthenticated
from modelyard_runtime.access import Authenticator, Principal, Target, may, may_anywhere

MAX_CACHED: Final = 10_000


def fingerprint(data: bytes) -> bytes:
    """SHA-256: stands for `data`, which cannot be recovered from it, as keys are long and random."""
    return hashlib.sha256(data).digest()


class Access:
    """A checked key and the decisions about it so far."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self._predict: dict[str, bool] = {}

    def may_predict(self, workspace: str) -> bool:
        """Whether routes of a workspace may be called."""
        allowed = self._predict.get(workspace)
        if allowed is None:
            allowed = self._predict[workspace] = may(self.principal, "predict", Target(workspace, "route")).allowed
        return allowed

    def require(self, action: str, kind: str, workspace: str) -> None:
        """NotAllowed, with the reason, unless the action is allowed in a workspace."""
        decision = may(self.principal, action, Target(workspace, kind))
        if not decision.allowed:
            raise NotAllowed(decision.reason)

    def require_anywhere(self, action: str, kind: str) -> None:
        """NotAllowed, with the reason, unless the action is allowed in at least one workspace."""
        decision = may_anywhere(self.principal, action, kind)
        if not decision.allowed:
            raise NotAllowed(decision.reason)

    def workspace_of_label(self, model: str | None) -> str:
        """Workspace of a label: that of its model, else `default`, else the only one where this key may send labels.

        NotAllowed, with the reason, where the key may not send labels; BrokenContract when the model must be named.
        """
        if model is not None or self._may_label(DEFAULT_WORKSPACE):
            workspace = DEFAULT_WORKSPACE if model is None else workspace_of(model)
            self.require("feedback", "prediction", workspace)
            return workspace
        allowed = [workspace for workspace in sorted(self.principal.roles) if self._may_label(workspace)]
        if len(allowed) == 1:
            return allowed[0]
        self.require_anywhere("feedback", "prediction")
        raise BrokenContract(
            f"model: this key may send labels in the workspaces {', '.join(allowed)}; name the model of each label, "
            f"such as {allowed[0]}:churn",
            field="model",
        )

    def _may_label(self, workspace: str) -> bool:
        return may(self.principal, "feedback", Target(workspace, "prediction")).allowed


class Keys:
    """For one event loop. Only valid keys are cached, each for `cache_s` seconds on top of the authenticator's time."""

    def __init__(
        self, authenticator: Authenticator, cache_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._authenticator, self._cache_s, self._clock = authenticator, cache_s, clock
        self._cached: dict[bytes, tuple[Access, float]] = {}

    def cached(self, key: bytes) -> Access | None:
        """The access of a fingerprinted Authorization header, if it was checked less than `cache_s` ago."""
        found = self._cached.get(key)
        return found[0] if found is not None and found[1] > self._clock() else None

    async def check(self, authorization: bytes) -> Access:
        """Verify an Authorization header; raises Unauthenticated with the remedy."""
        key = fingerprint(authorization)
        if (known := self.cached(key)) is not None:
            return known
        principal = await self._authenticator.authenticate_header(authorization.decode("latin-1"))
        if principal is None:
            self._cached.pop(key, None)
            raise Unauthenticated("send a valid key as `Authorization: Bearer <key>`")
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        access = Access(principal)
        self._cached[key] = access, self._clock() + self._cache_s
        return access
