"""The monitor over HTTP."""

import logging
import ssl
from datetime import datetime
from typing import Any, Final

import httpx

from modelyard_deployer.domain.analysis import Arm, Stratum
from modelyard_deployer.domain.traffic import CANARY, STABLE

TIMEOUT_S: Final = 5.0
log = logging.getLogger(__name__)


class HttpMonitor:
    """Health counts from the monitor; a failed request or malformed response counts as no evidence."""

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        verify = ssl.create_default_context()
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False, verify=verify)

    def health(self, model: str, route: str, since: datetime, new: int, old: int) -> Stratum | None:
        parameters = {"since": since.isoformat(), "route": route}
        try:
            response = self._http.get(f"/v1/models/{model}/health", params=parameters)
            response.raise_for_status()
            versions: list[dict[str, Any]] = response.json()["versions"]
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
                values=int(found.get("labelled_values") or 0),
                mean_error=float(found.get("mean_absolute_error") or 0.0),
                error_sd=float(found.get("absolute_error_sd") or 0.0),
            )
    return Arm()
