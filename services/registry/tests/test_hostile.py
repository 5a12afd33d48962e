"""Hostile input is refused with a problem that names the field, never with an error of the server."""

import json
from typing import Any

import pytest
from httpx import Response

from modelyard_registry.testing import ADMIN_KEY

from .conftest import World
from .test_schema_api import refused

DEEP = '{"a":' * 900 + "1" + "}" * 900
MANIFEST = {
    "model": "elec",
    "flavour": "sklearn",
    "files": [{"path": "model.skops", "digest": "sha256:" + "1" * 64, "size_bytes": 1}],
    "signature": {"columns": [{"name": "x"}], "output": {"task": "regression"}},
    "training": {"recipe": "r"},
}


def send(world: World, method: str, path: str, body: str) -> Response:
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
    answer: Response = world.http.request(method, path, content=body.encode(), headers=headers)
    return answer


def fault(answer: Response) -> str:
    assert answer.status_code == 422, answer.text
    return str(answer.json()["field"])


@pytest.mark.parametrize("value", ["NaN", "1e400", '"\\ud800"', '{"\\udc00": 1}', DEEP])
def test_a_document_that_some_reader_could_not_hold_is_refused(world: World, value: str) -> None:
    world.client.create_model("elec")
    digest = world.client.put_blob(b"rows")
    dataset = {"digest": digest, "name": "n", "rows": 1, "size_bytes": 4, "columns": {}}
    body = json.dumps({**dataset, "source": {"how": "VALUE"}}).replace('"VALUE"', value)
    assert fault(send(world, "POST", "/v1/dataset-files", body)) == "source"
    body = json.dumps({"document": {"recipe": "VALUE"}}).replace('"VALUE"', value)
    assert fault(send(world, "PUT", "/v1/models/elec/policies/retrain", body)).startswith("document")


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ('{"name": "k", "roles": {"*": ["\\ud800"]}}', "roles.*.0"),
        ('{"name": "k", "roles": {"*": ["viewer", "%s"]}}' % ("x" * 300), "roles.*.1"),
        ('{"name": "k", "roles": {"*": ["viewer"]}, "expires_at": "9999-12-31T23:59:59-23:59"}', "expires_at"),
        ('{"name": "k", "roles": {"*": ["viewer"]}, "expires_at": "2100-01-01T00:00:00"}', "expires_at"),
    ],
)
def test_a_key_that_cannot_be_stored_is_refused_by_its_field(on_sqlite: World, key: str, field: str) -> None:
    assert fault(send(on_sqlite, "POST", "/v1/keys", key)) == field


@pytest.mark.parametrize("number", ["0" * 5_000 + "1", "00000000001" + "9" * 30, "9" * 30, "9" * 5_000, "2147483648"])
def test_an_endless_schema_number_is_not_found(on_sqlite: World, number: str) -> None:
    [subject, *_] = send(on_sqlite, "GET", "/subjects", "").json()
    refused(send(on_sqlite, "GET", f"/schemas/ids/{number}", ""), 40403)
    refused(send(on_sqlite, "GET", f"/subjects/{subject}/versions/{number}", ""), 42202)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": ["a//b"]}, "one name"),
        ({"files": ["a/./b"]}, "one name"),
        ({"files": ["a/"]}, "one name"),
        ({"files": ["a", "a/b"]}, "a file and a folder"),
        ({"flavour": "skl\x00earn"}, "NUL"),
        ({"training": {"recipe": "r", "run_id": "\x00"}}, "NUL"),
        ({"environment": {"numpy": "\ud800"}}, "half a character"),
        ({"training": {"recipe": "r", "train_from": "0001-01-01T00:00:00+23:59"}}, "years"),
    ],
)
def test_a_manifest_that_no_disk_or_database_can_hold_is_refused(
    world: World, change: dict[str, Any], said: str
) -> None:
    world.client.create_model("elec")
    files = [{**MANIFEST["files"][0], "path": path} for path in change.get("files", [])]  # type: ignore[index]
    manifest = {**MANIFEST, **change, **({"files": files} if files else {})}
    answer = send(world, "POST", "/v1/models/elec/versions", json.dumps({"idempotency_key": "k", "manifest": manifest}))
    assert fault(answer).startswith("manifest")
    assert said in answer.json()["detail"]
