"""Every number of a manifest and a policy in turn is made one that no reader could hold: refused, by its field.

After each refusal another document of the same kind is accepted.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from httpx import Response

from modelyard_registry.testing import ADMIN_KEY

from .conftest import World
from .test_kinds import PROMPT, dataset_manifest

GOLDEN: Final = Path(__file__).parents[3] / "libs" / "contracts" / "tests" / "golden" / "0.2"
Place = tuple[str | int, ...]
RAW: Final = "@raw@"
"""Stands for a literal in a body that is not JSON in Python's eyes, or a number that it cannot write."""
NUMBERS: Final = {
    "huge": str(2**64),
    "huge float": "1e400",
    "NaN": "NaN",
    "text": '"a lot"',
    "negative": "-1",
    "list": "[]",
}


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "model": {**golden("manifest-binary"), "model": "one"},
    "dataset": {**dataset_manifest(b"rows"), "dataset": "one", "schema_version": 1},
    "prompt": {**PROMPT, "prompt": "one", "schema_version": 1},
    "gate": golden("policy-gate"),
    "retrain": golden("policy-retrain"),
    "rollout": golden("policy-rollout"),
}
POLICIES: Final = ("gate", "retrain", "rollout")
NEGATIVE_ALLOWED: Final = frozenset({"min_gain", "edges", "metrics", "steps_percent"})


def numbers(value: Any, place: Place = ()) -> Iterator[Place]:
    """The places of all numbers in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:1]):
            yield from numbers(inner, (*place, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def value_at(document: Any, place: Place) -> Any:
    for step in place:
        document = document[step]
    return document


def with_raw(document: dict[str, Any], place: Place, literal: str) -> str:
    """The JSON of the document with `literal` at a place."""
    copy = json.loads(json.dumps(document))
    value_at(copy, place[:-1])[place[-1]] = RAW
    return json.dumps(copy).replace(f'"{RAW}"', literal)


def put(world: World, kind: str, document: str, name: str, key: str = "k") -> Response:
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
    if kind in POLICIES:
        method, path, body = "PUT", f"/v1/models/{name}/policies/{kind}", f'{{"document": {document}}}'
    else:
        method, path = "POST", f"/v1/{kind}s/{name}/versions"
        body = f'{{"idempotency_key": "{key}", "manifest": {document}}}'
    answer: Response = world.http.request(method, path, content=body.encode(), headers=headers)
    return answer


def prepared(world: World, kind: str) -> None:
    """Two resources: the documents of one are bad."""
    for name in ("one", "other"):
        world.client.post(f"/v1/{'model' if kind in POLICIES else kind}s", {"name": name})


def other_is_accepted(world: World, kind: str) -> None:
    document = {**DOCUMENTS[kind], **({kind: "other"} if kind in DOCUMENTS[kind] else {})}
    answer = put(world, kind, json.dumps(document), "other")
    assert answer.is_success, answer.text


@pytest.mark.parametrize("defect", NUMBERS)
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_bad_number_anywhere_is_refused_and_other_documents_are_accepted(
    on_sqlite: World, kind: str, defect: str
) -> None:
    prepared(on_sqlite, kind)
    for number, place in enumerate(numbers(DOCUMENTS[kind])):
        if defect == "negative" and NEGATIVE_ALLOWED & set(place):
            continue
        if defect == "huge" and isinstance(value_at(DOCUMENTS[kind], place), float):
            continue  # 1.8e19 is a float as others are
        answer = put(on_sqlite, kind, with_raw(DOCUMENTS[kind], place, NUMBERS[defect]), "one", f"k{number}")
        assert answer.status_code in (400, 422), (place, answer.text)
        assert answer.json()["detail"]
    other_is_accepted(on_sqlite, kind)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_missing_field_a_long_text_and_a_newer_version_are_refused(on_sqlite: World, kind: str) -> None:
    prepared(on_sqlite, kind)
    document = DOCUMENTS[kind]
    bad: list[Any] = [{**document, "schema_version": 99}, {**document, "unheard_of": 1}, [document], "text", None]
    bad.append({**document, "min_release": "x" * 10_000_000})
    if kind not in POLICIES:
        bad += [{name: value for name, value in document.items() if name != kind}, {**document, "kind": "unheard_of"}]
    for number, one in enumerate(bad):
        answer = put(on_sqlite, kind, json.dumps(one), "one", f"k{number}")
        assert answer.status_code in (400, 413, 422), (str(one)[:80], answer.text[:300])
    other_is_accepted(on_sqlite, kind)
