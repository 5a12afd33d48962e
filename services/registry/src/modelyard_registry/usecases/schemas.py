"""The Avro schemas of subjects: registered once, compatible with all before, found by id for ever."""

from collections.abc import Sequence
from typing import Final

from modelyard_contracts.topics import all_topics, schema_text
from modelyard_registry.domain.avro import DEFAULT_LEVEL, LEVELS, AvroSchema, incompatibilities, parse
from modelyard_registry.domain.ports import Deps, Schemas
from modelyard_registry.domain.schema_errors import (
    Incompatible,
    InvalidLevel,
    LevelNotSet,
    SchemaNotFound,
    SubjectAlreadyDeleted,
    SubjectNotFound,
    SubjectNotSoftDeleted,
    VersionGone,
    VersionNotFound,
)
from modelyard_registry.domain.values import SubjectVersion
from modelyard_runtime.errors import StartupError

GLOBAL: Final = ""
"""The subject whose level is everybody's."""


def register(deps: Deps, subject: str, text: str) -> int:
    """The schema's id; a new version of the subject unless it has this one. Incompatible says with what and why."""
    schema = parse(text)
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        known = unit.schemas.id_of(schema.identity)
        versions = unit.schemas.versions(subject, deleted=False)
        if known is not None and any(version.schema_id == known for version in versions):
            return known
        if reasons := _against(unit.schemas, schema, versions, level_of(unit.schemas, subject)):
            raise Incompatible(subject, reasons)
        schema_id = known if known is not None else unit.schemas.next_id()
        if known is None:
            unit.schemas.add(schema_id, schema, deps.clock())
        _append(unit.schemas, subject, schema_id)
        return schema_id


def _append(schemas: Schemas, subject: str, schema_id: int) -> None:
    last = [version.version for version in schemas.versions(subject, deleted=True)][-1:] or [0]
    schemas.add_version(SubjectVersion(subject, last[0] + 1, schema_id))


def _against(schemas: Schemas, schema: AvroSchema, versions: Sequence[SubjectVersion], level: str) -> list[str]:
    older = [text for version in versions if (text := schemas.text(version.schema_id)) is not None]
    return incompatibilities(schema.text, older, level)


def check(schemas: Schemas, subject: str, version: str | None, text: str) -> list[str]:
    """Why `text` would be refused after that version (a number, `latest`, or None for what the level asks)."""
    schema = parse(text)
    level = level_of(schemas, subject)
    if version is None:
        return _against(schemas, schema, schemas.versions(subject, deleted=False), level)
    return _against(schemas, schema, [find(schemas, subject, version)], level)


def lookup(schemas: Schemas, subject: str, text: str, *, deleted: bool = False) -> SubjectVersion:
    """The version of the subject that has this schema."""
    versions = _of_subject(schemas, subject, deleted=deleted)
    schema_id = schemas.id_of(parse(text).identity)
    for version in versions:
        if version.schema_id == schema_id:
            return version
    raise SchemaNotFound


def find(schemas: Schemas, subject: str, version: str, *, deleted: bool = False) -> SubjectVersion:
    """A version of a subject; -1 and `latest` are the newest."""
    number = _number(version)
    versions = _of_subject(schemas, subject, deleted=deleted)
    if number == -1:
        return versions[-1]
    for one in versions:
        if one.version == number:
            return one
    raise VersionGone(version)


def _of_subject(schemas: Schemas, subject: str, *, deleted: bool) -> list[SubjectVersion]:
    versions = list(schemas.versions(subject, deleted=deleted))
    if not versions:
        raise SubjectNotFound(subject)
    return versions


def _number(version: str) -> int:
    if version in ("latest", "-1"):
        return -1
    if not (version.isascii() and version.isdigit() and len(version) <= 10) or not 1 <= int(version) <= 2**31 - 1:
        raise VersionNotFound(version[:80])
    return int(version)


def text_of(schemas: Schemas, schema_id: int) -> str:
    text = schemas.text(schema_id)
    if text is None:
        raise SchemaNotFound(schema_id)
    return text


def delete_subject(deps: Deps, subject: str, *, permanent: bool) -> list[int]:
    """Hide a subject; permanent: forget one that is hidden. Its schemas stay, as messages written with them do."""
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        every = _of_subject(unit.schemas, subject, deleted=True)
        shown = [version for version in every if not version.deleted]
        if permanent and shown:
            raise SubjectNotSoftDeleted(subject)
        if not permanent and not shown:
            raise SubjectAlreadyDeleted(subject)
        for version in every if permanent else shown:
            (unit.schemas.remove if permanent else unit.schemas.mark_deleted)(subject, version.version)
        return [version.version for version in (every if permanent else shown)]


def delete_version(deps: Deps, subject: str, version: str, *, permanent: bool) -> int:
    """The same for one version."""
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        found = find(unit.schemas, subject, version, deleted=permanent)
        if permanent and not found.deleted:
            raise SubjectNotSoftDeleted(subject)
        (unit.schemas.remove if permanent else unit.schemas.mark_deleted)(subject, found.version)
        return found.version


def level_of(schemas: Schemas, subject: str) -> str:
    """The level in force."""
    return schemas.level(subject) or schemas.level(GLOBAL) or DEFAULT_LEVEL


def own_level(schemas: Schemas, subject: str) -> str:
    """The level set for this very subject; LevelNotSet."""
    level = schemas.level(subject)
    if level is None:
        raise LevelNotSet(subject)
    return level


def set_level(deps: Deps, subject: str, level: str | None) -> None:
    """None: back to everybody's."""
    if level is not None and level not in LEVELS:
        raise InvalidLevel(level, LEVELS)
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        if level is None and subject != GLOBAL:
            own_level(unit.schemas, subject)
        unit.schemas.set_level(subject, level)


def seed(deps: Deps) -> None:
    """Make the schemas of this release known under the ids of their `topic.yaml`; repeats change nothing."""
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        for spec in all_topics():
            for version, schema_id in enumerate(spec.schema_ids, start=1):
                _seed_one(deps, unit.schemas, spec.subject, schema_id, schema_text(spec.name, version))


def _seed_one(deps: Deps, schemas: Schemas, subject: str, schema_id: int, text: str) -> None:
    schema = parse(text)
    known = schemas.text(schema_id)
    if known is None:
        schemas.add(schema_id, schema, deps.clock())
    elif parse(known).identity != schema.identity:
        raise StartupError(
            f"schema id {schema_id} ({subject}) was another schema when this database was made; a merged schema "
            "never changes: give the new one its own id in topic.yaml"
        )
    if all(version.schema_id != schema_id for version in schemas.versions(subject, deleted=True)):
        _append(schemas, subject, schema_id)
