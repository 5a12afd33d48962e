"""The monitor over HTTP."""

import logging
import ssl
from datetime import datetime
from typing import Any, Final

import httpx

from modelyard_deployer.domain.counts import Arm, Stratum
from modelyard_deployer.domain.harm import Calls
from modelyard_deployer.domain.hedge import Batch
from modelyard_deployer.domain.traffic import CANARY, STABLE
from modelyard_deployer.domain.votes import LabelPage

TIMEOUT_S: Final = 5.0
PAGE_LABELS: Final = 10_000
MOST_PER_DRAW: Final = 20.0
"""The monitor divides the loss of a draw by its probability, which it takes to be 0.05 at least."""
ROUNDING: Final = 1e-3
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

    def votes(self, model: str, after: str | None) -> LabelPage | None:
        parameters = {"limit": str(PAGE_LABELS), **({"after": after} if after is not None else {})}
        try:
            response = self._http.get(f"/v1/models/{model}/votes", params=parameters)
            if after is not None and _unknown_cursor(response):
                log.warning(
                    "the monitor does not know the position %s in the labels of %s; starting again", after, model
                )
                return self.votes(model, None)
            response.raise_for_status()
            return _page(response.json())
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            log.warning("no labels of votes on %s: %s: %s", model, type(error).__name__, error)
            return None

    def members(self, model: str, since: datetime) -> list[Calls] | None:
        try:
            response = self._http.get(f"/v1/models/{model}/members", params={"since": since.isoformat()})
            response.raise_for_status()
            return [_calls(found) for found in response.json()["members"]]
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            log.warning("no calls of the members of %s: %s: %s", model, type(error).__name__, error)
            return None

    def close(self) -> None:
        self._http.close()


def _unknown_cursor(response: httpx.Response) -> bool:
    return response.status_code in (400, 410, 422)


def _page(document: dict[str, Any]) -> LabelPage:
    batches = tuple(_batch(group) for group in document["groups"])
    return LabelPage(str(document["cursor"]), batches, more=bool(document.get("more", False)))


def _batch(group: dict[str, Any]) -> Batch:
    """ValueError for losses that no labels can have: weights must not follow them."""
    rows, drawn = int(group["rows"]), bool(group.get("drawn", False))
    losses = {int(member["version"]): float(member["loss"]) for member in group["members"]}
    mean = None if group.get("expected") is None else float(group["expected"])
    sums = (float(group["loss"]), mean or 0.0)
    limit = rows * (MOST_PER_DRAW if drawn else 1.0) + ROUNDING
    possible = all(0 <= loss <= limit for loss in losses.values()) and all(
        0 <= loss <= rows + ROUNDING for loss in sums
    )
    if rows < 1 or not possible:
        raise ValueError(f"{rows} rows cannot have the losses {losses} and {sums}")
    return Batch(rows, losses, sums[0], mean, drawn=drawn)


def _calls(found: dict[str, Any]) -> Calls:
    p95_ms = float(found["latency_ms_p95"] or 0.0)
    return Calls(int(found["version"]), int(found["asked"]), int(found["failed"]), p95_ms)


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
