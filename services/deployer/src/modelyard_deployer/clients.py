"""The registry and the monitor over HTTP."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from modelyard import ApiError, RegistryClient
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.analysis import Arm, Stratum
from modelyard_deployer.domain.model import Version
from modelyard_deployer.domain.ports import Refused, RegistryAway
from modelyard_deployer.domain.routing import CANARY, STABLE

MONITOR_TIMEOUT_S: Final = 5.0
log = logging.getLogger(__name__)


class HttpRegistry:
    """The registry's API, with its errors told apart by what can be done about them."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def version(self, model: str, version: int) -> Version:
        with _told_apart():
            info = self._client.version(model, version)
            manifest = self._client.manifest(model, version)
        return Version(model, version, info.digest, str(info.stage), manifest)

    def policy(self, model: str) -> RolloutPolicy:
        with _told_apart():
            return self._client.policy(model, "rollout")

    def download(self, manifest: ModelManifest, folder: Path) -> None:
        with _told_apart():
            self._client.download(manifest, folder)


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.retryable or error.status in {401, 403}:  # a wrong key is our trouble, no fault of the version
            raise RegistryAway(str(error)) from error
        raise Refused(str(error)) from error


class HttpMonitor:
    """The monitor's health figures; silence and nonsense are the same to the caller: no evidence."""

    def __init__(self, url: str, token: str, timeout_s: float = MONITOR_TIMEOUT_S) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)

    def health(self, model: str, route: str, since: datetime, new: int, old: int) -> Stratum | None:
        parameters = {"since": since.isoformat(), "route": route}
        try:
            answer = self._http.get(f"/v1/models/{model}/health", params=parameters)
            answer.raise_for_status()
            versions: list[dict[str, Any]] = answer.json()["versions"]
            return Stratum(new=_arm(versions, new, CANARY), old=_arm(versions, old, STABLE))
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            log.warning("no evidence about %s: %s: %s", model, type(error).__name__, error)
            return None

    def close(self) -> None:
        self._http.close()


def _arm(versions: list[dict[str, Any]], version: int, variant: str) -> Arm:
    for found in versions:
        if found["version"] == version and found["variant"] == variant:
            return Arm(
                answers=int(found["predictions"]),
                errors=int(found["errors"]),
                labelled=int(found["labelled"]),
                wrong=int(found["wrong"]),
            )
    return Arm()
