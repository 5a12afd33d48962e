"""Rules of the schemas folder; each rule is seen to fail on a folder that violates it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelyard_contracts import MESSAGES
from modelyard_contracts.codec import Codec
from modelyard_contracts.governance import check_examples, check_folder, compare
from modelyard_contracts.topics import all_topics, avro_schema, schema_text, schemas_root
from modelyard_registry.domain.avro import incompatibilities

TOPICS = sorted(MESSAGES)
SAMPLE = "monitoring.slice.summarised.v1"

Schema = dict[str, Any]


def test_every_folder_is_a_topic_with_a_message_class() -> None:
    folders = sorted(folder.name for folder in schemas_root().iterdir() if folder.is_dir())
    assert folders == TOPICS == [spec.name for spec in all_topics()]


def test_schema_ids_are_unique() -> None:
    ids = [schema_id for spec in all_topics() for schema_id in spec.schema_ids]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_folder_keeps_the_rules(topic: str) -> None:
    assert list(check_folder(schemas_root() / topic)) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_examples_survive_both_framings(topic: str) -> None:
    assert list(check_examples(schemas_root() / topic, MESSAGES[topic], Codec())) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_schema_and_class_agree_field_by_field(topic: str) -> None:
    assert list(compare(avro_schema(topic), MESSAGES[topic])) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_every_version_is_compatible_with_every_other(topic: str) -> None:
    versions = [schema_text(topic, number) for number in range(1, len(_spec(topic).schema_ids) + 1)]
    for number, newer in enumerate(versions[1:], start=1):
        assert incompatibilities(newer, versions[:number], "FULL_TRANSITIVE") == []


def test_an_added_field_with_a_default_is_compatible() -> None:
    schema = avro_schema(SAMPLE)
    widened = {**schema, "fields": [*schema["fields"], {"name": "note", "type": "string", "default": ""}]}
    assert incompatibilities(json.dumps(widened), [json.dumps(schema)], "FULL_TRANSITIVE") == []


BREAKS: list[Callable[[Schema], None]] = []


def breaking(change: Callable[[Schema], None]) -> Callable[[Schema], None]:
    BREAKS.append(change)
    return change


@breaking
def a_field_without_default(schema: Schema) -> None:
    schema["fields"].append({"name": "note", "type": "string"})


@breaking
def a_removed_required_field(schema: Schema) -> None:
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "rows"]


@breaking
def a_narrowed_type(schema: Schema) -> None:
    next(field for field in schema["fields"] if field["name"] == "rows")["type"] = "string"


@breaking
def a_renamed_record(schema: Schema) -> None:
    schema["name"] = "Slice"


@breaking
def a_lost_logical_type(schema: Schema) -> None:
    next(field for field in schema["fields"] if field["name"] == "occurred_at")["type"] = "long"


@pytest.mark.parametrize("break_", BREAKS, ids=lambda change: change.__name__)
def test_a_breaking_change_is_refused(break_: Callable[[Schema], None]) -> None:
    schema = json.loads(schema_text(SAMPLE))
    before = json.dumps(schema)
    break_(schema)
    assert incompatibilities(json.dumps(schema), [before], "FULL_TRANSITIVE") != []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / SAMPLE
    shutil.copytree(schemas_root() / SAMPLE, copy)
    return copy


def test_an_edited_schema_is_refused(folder: Path) -> None:
    path = folder / "schema.avsc"
    path.write_text(path.read_text().replace("latency_ms_max", "latency_ms_most"))
    assert "was edited after it was merged" in " ".join(check_folder(folder))


def test_a_folder_without_examples_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "examples")
    assert list(check_folder(folder)) == [f"{SAMPLE}: no examples"]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "Monitoring_Slice", "topic.yaml"),
        ("key", "colour", "is not a field of the schema"),
        ("schema_ids", [3, 21, 40], "require the files"),
        ("partitions", 0, "partitions"),
    ],
)
def test_a_bad_topic_file_is_refused(folder: Path, field: str, value: object, complaint: str) -> None:
    path = folder / "topic.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), field: value}))
    assert complaint in " ".join(check_folder(folder))


def test_a_bad_example_is_refused(folder: Path) -> None:
    (folder / "examples" / "bad.json").write_text('{"rows": "many"}')
    assert "bad.json" in " ".join(check_examples(folder, MESSAGES[SAMPLE], Codec()))


def _differences(change: Callable[[Schema], None]) -> list[str]:
    schema = json.loads(schema_text(SAMPLE))
    change(schema)
    return list(compare(schema, MESSAGES[SAMPLE]))


def test_a_type_that_differs_from_the_class_is_named() -> None:
    def change(schema: Schema) -> None:
        next(field for field in schema["fields"] if field["name"] == "rows")["type"] = "double"

    assert _differences(change) == ["SliceSummarised.rows: long in Python, double in Avro"]


def test_a_field_the_class_lacks_is_named() -> None:
    assert "note" in " ".join(_differences(a_field_without_default))


def test_a_nullability_that_differs_is_named() -> None:
    def change(schema: Schema) -> None:
        next(field for field in schema["fields"] if field["name"] == "feature_schema_id")["type"] = "string"

    assert "may be None in Python" in " ".join(_differences(change))


def _spec(topic: str) -> Any:
    return next(spec for spec in all_topics() if spec.name == topic)
