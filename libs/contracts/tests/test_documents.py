"""Documents: strict for writers, tolerant for readers, identified by their bytes."""

import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from modelyard_contracts import MESSAGES
from modelyard_contracts.codec import decode
from modelyard_contracts.documents import RELEASE, InvalidDocument, NewerDocument, read, write
from modelyard_contracts.manifest import ManifestFile, ModelManifest, digest_of
from modelyard_contracts.policies import POLICIES, GatePolicy
from modelyard_contracts.routes import RoutePlan, RouteSpec
from modelyard_contracts.signature import Task

GOLDEN = Path(__file__).parent / "golden" / "0.2"
MANIFESTS = sorted(GOLDEN.glob("manifest-*.json"))


class ManifestOfTomorrow(ModelManifest):
    """A later release's manifest class: the same major version, one more optional field."""

    carbon_g: float = 0.0
    notes: tuple[str, ...] = Field(default=("none",))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_manifests_of_a_past_release_keep_their_digest(path: Path) -> None:
    digests = json.loads((GOLDEN / "digests.json").read_text())
    found = ManifestFile.read(path.read_bytes())
    assert (found.digest, found.data) == (digests[path.name]["digest"], path.read_bytes())
    assert found.manifest.feature_schema_id == digests[path.name]["feature_schema_id"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_an_optional_field_of_a_later_release_changes_no_digest_and_no_schema_id(path: Path) -> None:
    data = path.read_bytes()
    later = read(ManifestOfTomorrow, data)
    today = ManifestFile.read(data)
    assert later.feature_schema_id == today.manifest.feature_schema_id
    assert digest_of(data) == today.digest
    assert write(later) != data, "the later class would write other bytes: so no digest may come from a parsed manifest"


def test_a_manifest_of_a_later_release_is_read_and_keeps_its_bytes() -> None:
    given = json.loads(MANIFESTS[0].read_bytes())
    data = write(ManifestOfTomorrow.model_validate(given))
    found = ManifestFile.read(data)
    assert (found.data, found.digest) == (data, digest_of(data))


def test_a_new_field_at_any_depth_is_ignored_by_readers_and_refused_for_writers() -> None:
    given = json.loads(MANIFESTS[0].read_bytes())
    given["training"]["gpu_hours"] = 3
    given["signature"]["columns"][0]["sensitive"] = True
    with pytest.raises(ValidationError, match="gpu_hours"):
        ModelManifest.model_validate(given)
    assert read(ModelManifest, given).training.recipe == given["training"]["recipe"]


@pytest.mark.parametrize("cls", [ModelManifest, RoutePlan, RouteSpec, *POLICIES.values()], ids=lambda cls: cls.DOCUMENT)
def test_an_unknown_major_version_names_the_release_that_reads_it(cls: Any) -> None:
    with pytest.raises(NewerDocument, match=r"schema version 7 needs Modelyard 0\.9 or newer; this is 0\.2"):
        read(cls, {"schema_version": 7, "min_release": "0.9"})
    with pytest.raises(NewerDocument, match="needs a newer release"):
        read(cls, {"schema_version": 7})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "is not JSON"),
        (b"[" * 50_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff", "is not JSON"),
        (b'{"schema_version": "1"}', "schema version 1 needs"),
        (b'{"min_rows": 1}', "min_rows: must be"),
    ],
)
def test_what_is_no_document_is_named(data: bytes, says: str) -> None:
    with pytest.raises((InvalidDocument, NewerDocument), match=says):
        read(GatePolicy, data)


def test_the_metric_of_a_policy_must_fit_the_task() -> None:
    assert (GatePolicy().metric_for(Task.MULTICLASS), GatePolicy().metric_for(Task.REGRESSION)) == ("accuracy", "mae")
    with pytest.raises(ValueError, match="rmse does not fit the task binary"):
        GatePolicy(metric="rmse").metric_for(Task.BINARY)


@pytest.mark.parametrize(
    ("file", "cls"),
    [
        ("route-plan.json", RoutePlan),
        ("route-spec.json", RouteSpec),
        *((f"policy-{kind}.json", cls) for kind, cls in POLICIES.items()),
    ],
)
def test_the_documents_of_a_past_release_mean_the_same(file: str, cls: Any) -> None:
    """Every field of the stored document has its value in today's; a later release may have more fields."""
    data = (GOLDEN / file).read_bytes()
    assert _holds(json.loads(write(read(cls, data))), json.loads(data))


def _holds(today: Any, stored: Any) -> bool:
    if isinstance(stored, dict):
        return isinstance(today, dict) and all(key in today and _holds(today[key], stored[key]) for key in stored)
    if isinstance(stored, list):
        return len(today) == len(stored) and all(map(_holds, today, stored))
    return bool(today == stored)


EVENTS = json.loads((GOLDEN / "events.json").read_text())


@pytest.mark.parametrize("example", sorted(EVENTS))
def test_the_events_of_a_past_release_are_read_in_both_framings(example: str) -> None:
    stored = EVENTS[example]
    message = MESSAGES[example.partition("/")[0]]
    for framing in ("confluent", "single_object"):
        found = decode(base64.b64decode(stored[framing]), message)
        assert _holds(json.loads(found.model_dump_json(by_alias=True)), stored["message"])


def test_errors_name_the_release_that_is_installed() -> None:
    assert version("modelyard-contracts").startswith(f"{RELEASE}.")
