"""GET /v1/changes: server-sent events over a real socket."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .conftest import World


@contextmanager
def following(world: World, key: str, **headers: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Events as dictionaries of their fields, as they arrive."""
    headers = {"authorization": f"Bearer {key}", **headers}
    url = f"{world.opened.serve()}/v1/changes"
    with httpx.stream("GET", url, headers=headers, timeout=30, trust_env=False) as answer:
        assert answer.status_code == 200
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    fields: dict[str, Any] = {}
    for line in answer.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value
        elif fields:
            yield fields
            fields = {}


def test_each_change_is_sent_as_the_resource_itself_and_can_be_resumed(on_sqlite: World) -> None:
    key = on_sqlite.key("viewer")
    with following(on_sqlite, key) as events:
        start = next(events)
        on_sqlite.given_version()
        latest: list[int] = []
        while not latest or latest[-1] != 1:
            event = next(events)
            assert (event["event"], event["data"]["name"]) == ("model", "elec")
            latest.append(event["data"]["latest_version"])
    with following(on_sqlite, key, **{"last-event-id": start["id"]}) as events:
        assert next(events)["data"] == on_sqlite.client.get("/v1/models/elec")


def test_a_follower_sees_only_what_it_may_read(on_sqlite: World) -> None:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    with following(on_sqlite, on_sqlite.key("viewer", workspace="acme")) as events:
        next(events)
        on_sqlite.client.create_model("elec")
        on_sqlite.client.post("/v1/prompts", {"name": "acme:greeting"})
        event = next(events)
    assert (event["event"], event["data"]["name"]) == ("prompt", "acme:greeting")


def test_a_key_without_read_rights_cannot_follow(on_sqlite: World) -> None:
    key = on_sqlite.key("caller")
    answer = on_sqlite.http.get("/v1/changes", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 403
