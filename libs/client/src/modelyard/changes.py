"""Following a service's changes: server-sent events, resumed after the last one when the connection breaks."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from modelyard.errors import ApiError, ApiUnavailable

READ_TIMEOUT_S: Final = 45.0
"""Three heartbeats of the server."""
RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 10.0


@dataclass(frozen=True)
class ChangeEvent:
    """A changed resource. type: such as `rollout`; `reset` when events were missed: read the resources again.

    data: the JSON that the resource's own endpoint returns.
    """

    type: str
    id: str
    data: dict[str, Any]


def follow(
    http: httpx.Client,
    base_url: str,
    model: str | None,
    last_event_id: str | None,
    retries: int | None,
    on_connection: Callable[[ApiUnavailable | None], None] = lambda _: None,
) -> Iterator[ChangeEvent]:
    """Yield changes for ever; reconnects after a broken connection. ApiError when the service refuses.

    retries: failed connections in a row before ApiUnavailable is raised; None never gives up.
    on_connection: called with None after each connection, and with the error after each failure.
    """
    failed, pause_s = 0, RETRY_MIN_S
    while True:
        try:
            for event in _connection(http, base_url, model, last_event_id, on_connection):
                failed, pause_s = 0, RETRY_MIN_S
                last_event_id = event.id or last_event_id
                if event.type:
                    yield event
        except ApiUnavailable as error:
            failed += 1
            on_connection(error)
            if retries is not None and failed > retries:
                raise
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, RETRY_MAX_S)


def _connection(
    http: httpx.Client,
    base_url: str,
    model: str | None,
    last_event_id: str | None,
    on_connection: Callable[[ApiUnavailable | None], None],
) -> Iterator[ChangeEvent]:
    headers = {"accept": "text/event-stream", **({"last-event-id": last_event_id} if last_event_id else {})}
    timeout = httpx.Timeout(10.0, read=READ_TIMEOUT_S)
    parameters = {"model": model} if model else {}
    try:
        with http.stream("GET", "/v1/changes", params=parameters, headers=headers, timeout=timeout) as response:
            if not response.is_success:
                response.read()
                raise ApiError.of(response)
            on_connection(None)
            yield from parse_events(response.iter_lines())
    except httpx.HTTPError as error:
        raise ApiError.unreachable(base_url, error) from error


def parse_events(lines: Iterable[str]) -> Iterator[ChangeEvent]:
    """Events of a stream; one without a type only moves the position."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
            continue
        if fields:
            data = json.loads(fields["data"]) if "data" in fields else {}
            yield ChangeEvent(fields.get("event", ""), fields.get("id", ""), data)
        fields = {}
