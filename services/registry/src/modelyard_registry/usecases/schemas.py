"""Avro schemas: registered under a subject, compatible with its earlier versions, found by id."""

from collections.abc import Sequence
from typing import Final

from modelyard_contracts.topics import all_topics, schema_text
from modelyard_registry.domain.avro import DEFAULT_LEVEL, LEVELS, AvroSchema, incompatibilities, parse
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.schema_errors import (
    Incompatible,
    InvalidLevel,
    LevelNotSet,
    PlatformSubject,
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
"""The subject that carries the level of all others."""


def register(deps: Deps, subject: str, text: str) -> int:
    """Register a schema and return its id; a subject that has it stays as it is. Incompatible names the differences."""
    schema = parse(text)
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        known = unit.schemas.id_of(schema.identity)
        versions = unit.subjects.versions(subject, deleted=False)
        if known is not None and any(version.schema_id == known for version in versions):
            return known
        if reasons := _against(unit, schema, versions, level_of(unit, subject)):
            raise Incompatible(subject, reasons)
        schema_id = known if known is not None else unit.schemas.next_id()
        if known is None:
            unit.schemas.add(schema_id, schema, deps.clock())
        _append(unit, subject, schema_id)
        return schema_id


def _append(unit: Unit, subject: str, schema_id: int) -> None:
    last = [version.version for version in unit.subjects.versions(subject, deleted=True)][-1:] or [0]
    unit.subjects.add_version(SubjectVersion(subject, last[0] + 1, schema_id))


def _against(records: Records, schema: AvroSchema, versions: Sequence[SubjectVersion], level: str) -> list[str]:
    older = [text for version in versions if (text := records.schemas.text(version.schema_id)) is not None]
    return incompatibilities(schema.text, older, level)


def check(records: Records, subject: str, version: str | None, text: str) -> list[str]:
    """Return why `text` would be refused after a version: a number, `latest`, or None for all that the level covers."""
    schema = parse(text)
    level = level_of(records, subject)
    if version is None:
        return _against(records, schema, records.subjects.versions(subject, deleted=False), level)
    return _against(records, schema, [find(records, subject, version)], level)


def lookup(records: Records, subject: str, text: str, *, deleted: bool = False) -> SubjectVersion:
    """Return the version of the subject that has this schema; SchemaNotFound."""
    versions = _of_subject(records, subject, deleted=deleted)
    schema_id = records.schemas.id_of(parse(text).identity)
    for version in versions:
        if version.schema_id == schema_id:
            return version
    raise SchemaNotFound


def find(records: Records, subject: str, version: str, *, deleted: bool = False) -> SubjectVersion:
    """Return a version of a subject; -1 and `latest` are the newest."""
    number = _number(version)
    versions = _of_subject(records, subject, deleted=deleted)
    if number == -1:
        return versions[-1]
    for one in versions:
        if one.version == number:
            return one
    raise VersionGone(version)


def _of_subject(records: Records, subject: str, *, deleted: bool) -> list[SubjectVersion]:
    versions = list(records.subjects.versions(subject, deleted=deleted))
    if not versions:
        raise SubjectNotFound(subject)
    return versions


def _number(version: str) -> int:
    if version in ("latest", "-1"):
        return -1
    if not (version.isascii() and version.isdigit() and len(version) <= 10) or not 1 <= int(version) <= 2**31 - 1:
        raise VersionNotFound(version[:80])
    return int(version)


def text_of(records: Records, schema_id: int) -> str:
    text = records.schemas.text(schema_id)
    if text is None:
        raise SchemaNotFound(schema_id)
    return text


def delete_subject(deps: Deps, subject: str, *, permanent: bool) -> list[int]:
    """Hide a subject; permanent: remove a hidden one. Its schemas stay, because messages written with them do."""
    _refuse_platform(subject)
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        every = _of_subject(unit, subject, deleted=True)
        shown = [version for version in every if not version.deleted]
        if permanent and shown:
            raise SubjectNotSoftDeleted(subject)
        if not permanent and not shown:
            raise SubjectAlreadyDeleted(subject)
        for version in every if permanent else shown:
            (unit.subjects.remove if permanent else unit.subjects.mark_deleted)(subject, version.version)
        return [version.version for version in (every if permanent else shown)]


def delete_version(deps: Deps, subject: str, version: str, *, permanent: bool) -> int:
    """Hide one version of a subject; permanent: remove a hidden one."""
    _refuse_platform(subject)
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        found = find(unit, subject, version, deleted=permanent)
        if permanent and not found.deleted:
            raise SubjectNotSoftDeleted(subject)
        (unit.subjects.remove if permanent else unit.subjects.mark_deleted)(subject, found.version)
        return found.version


def _refuse_platform(subject: str) -> None:
    """Readers need the schemas of the platform's own topics for as long as messages exist."""
    if any(spec.subject == subject for spec in all_topics()):
        raise PlatformSubject(subject)


def level_of(records: Records, subject: str) -> str:
    """Return the level in force."""
    return records.subjects.level(subject) or records.subjects.level(GLOBAL) or DEFAULT_LEVEL


def own_level(records: Records, subject: str) -> str:
    """Return the level that is set for this subject; LevelNotSet."""
    level = records.subjects.level(subject)
    if level is None:
        raise LevelNotSet(subject)
    return level


def set_level(deps: Deps, subject: str, level: str | None) -> None:
    """Set the level of a subject; None removes it, so that the global one applies."""
    if level is not None and level not in LEVELS:
        raise InvalidLevel(level, LEVELS)
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        if level is None and subject != GLOBAL:
            own_level(unit, subject)
        unit.subjects.set_level(subject, level)


def seed(deps: Deps) -> None:
    """Register the schemas of this release under the ids of their `topic.yaml`; repeats change nothing."""
    with deps.storage.transaction() as unit:
        unit.schemas.lock()
        for spec in all_topics():
            for version, schema_id in enumerate(spec.schema_ids, start=1):
                _seed_one(deps, unit, spec.subject, schema_id, schema_text(spec.name, version))


def _seed_one(deps: Deps, unit: Unit, subject: str, schema_id: int, text: str) -> None:
    schema = parse(text)
    known = unit.schemas.text(schema_id)
    if known is None:
        unit.schemas.add(schema_id, schema, deps.clock())
    elif parse(known).identity != schema.identity:
        raise StartupError(
            f"schema id {schema_id} ({subject}) has another schema in this database; a merged schema "
            "never changes: give the new one its own id in topic.yaml"
        )
    if all(version.schema_id != schema_id for version in unit.subjects.versions(subject, deleted=True)):
        _append(unit, subject, schema_id)
