"""Topics as frozen values, read from `schemas/<topic>/topic.yaml`."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field

from modelyard_contracts.messages.base import Part

_PACKED: Final = Path(__file__).parent / "schemas"
_WORKSPACE: Final = Path(__file__).parents[4] / "schemas"

DAY_MS: Final = 86_400_000


class TopicSpec(Part):
    """Configuration of one topic on a broker and the schemas of its messages."""

    name: str = Field(pattern=r"^[a-z]+(\.[a-z]+(-[a-z]+)*)+\.v[1-9][0-9]*$")
    description: str
    owner: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    key: str
    partitions: int = Field(ge=1)
    retention_ms: int
    """-1 keeps records indefinitely (compacted topics)."""
    cleanup_policy: Literal["delete", "compact", "compact,delete"] = "delete"
    max_message_bytes: int = 1_048_576
    signed: bool = False
    """Whether events are signed by their writer: those that move traffic or money."""
    schema_ids: tuple[int, ...]
    """Registry ids of the schema's versions, oldest first; the registry seeds itself with them."""
    fingerprints: tuple[str, ...]
    """SHA-256 of each version's file: a merged version is never edited, a new one is added."""

    @property
    def subject(self) -> str:
        """The registry's name of the value schema (TopicNameStrategy)."""
        return f"{self.name}-value"

    def config(self) -> dict[str, str]:
        """Return the topic settings by their Kafka names."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }


def schemas_root() -> Path:
    """Return the folder of schemas: packed into the wheel, or that of the source tree."""
    return _PACKED if _PACKED.is_dir() else _WORKSPACE


@cache
def all_topics() -> tuple[TopicSpec, ...]:
    """Return every topic, ordered by name."""
    return tuple(
        TopicSpec.model_validate(yaml.safe_load((folder / "topic.yaml").read_text()))
        for folder in sorted(schemas_root().iterdir())
        if (folder / "topic.yaml").is_file()
    )


@cache
def topic(name: str) -> TopicSpec:
    """Return the topic of that name; KeyError when there is none."""
    return {spec.name: spec for spec in all_topics()}[name]


@cache
def avro_schema(name: str) -> dict[str, Any]:
    """Return the newest Avro schema of a topic, parsed from JSON."""
    schema: dict[str, Any] = json.loads(schema_text(name))
    return schema


@cache
def schema_text(name: str, version: int | None = None) -> str:
    """Return a schema's text as registered; `schema.avsc` is the newest, `schema.v<n>.avsc` are earlier versions."""
    folder = schemas_root() / topic(name).name
    newest = len(topic(name).schema_ids)
    file = "schema.avsc" if version in (None, newest) else f"schema.v{version}.avsc"
    return (folder / file).read_text()
