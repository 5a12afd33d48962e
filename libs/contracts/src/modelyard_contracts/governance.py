"""Rules of the schema folders, as checks that yield one message per violation.

They run in `make check` over `schemas/`, and in tests over folders that are broken on purpose.
"""

import hashlib
import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import UUID

import yaml
from pydantic import ValidationError

from modelyard_contracts.codec import Codec, Undecodable
from modelyard_contracts.messages.base import Message, Part
from modelyard_contracts.topics import TopicSpec

PRIMITIVES: Final = {str: "string", UUID: "string", bool: "boolean", int: "long", float: "double"}


def check_folder(folder: Path) -> Iterator[str]:
    """Yield violations within one topic's folder: names, versions, key, missing examples."""
    try:
        spec = TopicSpec.model_validate(yaml.safe_load((folder / "topic.yaml").read_text()))
    except (OSError, ValidationError, yaml.YAMLError) as error:
        yield f"{folder.name}/topic.yaml: {error}"
        return
    if spec.name != folder.name:
        yield f"{folder.name}: topic.yaml has the name {spec.name}"
    yield from _check_versions(folder, spec)
    schema = json.loads((folder / "schema.avsc").read_text())
    if spec.key not in {field["name"] for field in schema["fields"]}:
        yield f"{folder.name}: the key {spec.key} is not a field of the schema"
    if not list((folder / "examples").glob("*.json")):
        yield f"{folder.name}: no examples"


def _check_versions(folder: Path, spec: TopicSpec) -> Iterator[str]:
    files = [f"schema.v{number}.avsc" for number in range(1, len(spec.schema_ids))] + ["schema.avsc"]
    found = {path.name for path in folder.glob("*.avsc")}
    if found != set(files) or len(spec.fingerprints) != len(files):
        yield f"{folder.name}: {len(spec.schema_ids)} schema ids require the files {files}, found {sorted(found)}"
        return
    for file, fingerprint in zip(files, spec.fingerprints, strict=True):
        if hashlib.sha256((folder / file).read_bytes()).hexdigest() != fingerprint:
            yield (
                f"{folder.name}/{file} was edited after it was merged: keep it as schema.v<n>.avsc, "
                "put the new one into schema.avsc, add its id and its fingerprint to topic.yaml"
            )


def check_examples(folder: Path, message: type[Message], codec: Codec) -> Iterator[str]:
    """Yield examples that do not survive encoding and decoding in both framings."""
    for path in sorted((folder / "examples").glob("*.json")):
        try:
            given = message.model_validate_json(path.read_text())
            framings = (codec.encode(given), codec.encode_single_object(given))
            if any(codec.decode(data, message) != given for data in framings):
                yield f"{path.name}: differs after a round trip"
        except (ValidationError, Undecodable, ValueError) as error:
            yield f"{path.name}: {error}"


def compare(schema: dict[str, Any], part: type[Part], where: str = "") -> Iterator[str]:
    """Yield differences between an Avro record and its Python class: names, order, types, nullability, defaults."""
    where = where or schema["name"]
    avro = {field["name"]: field for field in schema["fields"]}
    python = {field.alias or name: field for name, field in part.model_fields.items()}
    if list(avro) != list(python):
        yield f"{where}: fields differ: {sorted(set(avro) ^ set(python)) or 'their order'}"
        return
    for name, field in python.items():
        yield from _compare_type(avro[name]["type"], field.annotation, f"{where}.{name}")
        if field.is_required() == ("default" in avro[name]):
            yield f"{where}.{name}: has a default on one side only"


def _compare_type(avro: Any, python: Any, where: str) -> Iterator[str]:
    if get_origin(python) is Annotated:
        python = get_args(python)[0]
    if get_origin(python) in (Union, UnionType):
        [inner] = [option for option in get_args(python) if option is not type(None)]
        if not (isinstance(avro, list) and avro[0] == "null" and len(avro) == 2):
            yield f"{where}: may be None in Python, but is {avro} in Avro"
            return
        yield from _compare_type(avro[1], inner, where)
    elif get_origin(python) is tuple:
        yield from _compare_container(avro, "array", "items", get_args(python)[0], where)
    elif get_origin(python) is dict:
        yield from _compare_container(avro, "map", "values", get_args(python)[1], where)
    else:
        yield from _compare_plain(avro, python, where)


def _compare_container(avro: Any, kind: str, inside: str, python: Any, where: str) -> Iterator[str]:
    if not isinstance(avro, dict) or avro.get("type") != kind:
        yield f"{where}: {kind} in Python, {avro} in Avro"
        return
    yield from _compare_type(avro[inside], python, f"{where}[]")


def _compare_plain(avro: Any, python: Any, where: str) -> Iterator[str]:
    if isinstance(python, type) and issubclass(python, Part):
        if isinstance(avro, dict):
            yield from compare(avro, python, where)
        elif avro != python.__name__:
            yield f"{where}: record {python.__name__} in Python, {avro} in Avro"
    elif isinstance(python, type) and issubclass(python, Enum):
        symbols = avro.get("symbols") if isinstance(avro, dict) else None
        if avro != python.__name__ and symbols != [member.value for member in python]:
            yield f"{where}: symbols differ: {symbols}"
    elif python in PRIMITIVES:
        if avro != PRIMITIVES[python]:
            yield f"{where}: {PRIMITIVES[python]} in Python, {avro} in Avro"
    elif not (isinstance(avro, dict) and avro.get("logicalType") == "timestamp-micros"):
        yield f"{where}: a timestamp in Python, {avro} in Avro"
