"""A model of this registry, with what the last synchronisation wrote: its history is the record of that."""

from collections.abc import Iterable, Mapping, Sequence

from modelyard import ApiError, RegistryClient, VersionInfo
from modelyard.records import HistoryEntry
from modelyard_contracts import VersionStage
from modelyard_contracts.messages.registry import ResourceChange
from modelyard_own.sync.comparing import Here, HereVersion
from modelyard_own.sync.foreign import ForeignRegistry


def reason_of(foreign: ForeignRegistry) -> str:
    """The reason of every change that a synchronisation makes; it finds them again in the history."""
    return f"sync from {foreign.uri}"


def read_here(registry: RegistryClient, foreign: ForeignRegistry, name: str, model: str) -> Here:
    """Read a model. name: of the model there. A version whose upload was cut counts as absent: it is continued."""
    try:
        info = registry.model(model)
    except ApiError as error:
        if error.status == 404:
            return Here()
        raise
    all_versions = [one for one in registry.versions(model) if one.stage is not VersionStage.PENDING]
    history, reason = registry.history(model), reason_of(foreign)
    keys = {one.version: key for one in all_versions if (key := _key(registry, foreign, name, one)) is not None}
    found = {keys[one.version]: _version(registry, one, history, reason) for one in all_versions if one.version in keys}
    return Here(
        exists=True,
        description=info.description,
        versions=found,
        others=tuple(one.version for one in all_versions if one.version not in keys),
        aliases={alias: _named(number, keys) for alias, number in info.aliases.items()},
        base_aliases={alias: _named(number, keys) for alias, number in _base_aliases(history, reason).items()},
    )


def _key(registry: RegistryClient, foreign: ForeignRegistry, name: str, version: VersionInfo) -> str | None:
    """Key of the version there that it came from; None for others. Read from the manifest, which cannot be edited."""
    if version.source_kind != foreign.kind:
        return None
    source = registry.manifest(version.model, version.version).source
    return source.revision if source is not None and source.uri == foreign.page_of(name) else None


def _version(
    registry: RegistryClient, version: VersionInfo, history: Sequence[HistoryEntry], reason: str
) -> HereVersion:
    model, number = version.model, version.version
    document = registry.card_document(model, number)
    revisions = registry.card_revisions(model, number) if document.card.prose_revision else ()
    written = next((one.prose.notes for one in revisions if one.reason == reason), None)
    return HereVersion(
        number=number,
        tags=version.tags,
        base_tags=_base_tags((one for one in history if one.version == number), reason),
        notes=document.card.prose.notes or None,
        base_notes=written or None,
    )


def _base_tags(entries: Iterable[HistoryEntry], reason: str) -> dict[str, str]:
    """Tags as the last synchronisation left them; those that a person set are not among them."""
    before: Mapping[str, str] = {}
    base: dict[str, str] = {}
    for entry in entries:
        if entry.change != ResourceChange.TAGS_CHANGED:
            continue
        after: Mapping[str, str] = entry.detail.get("tags") or {}
        if entry.reason == reason:
            changed = {name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}
            base = {name: value for name, value in {**base, **changed}.items() if value is not None}
        before = after
    return base


def _base_aliases(history: Iterable[HistoryEntry], reason: str) -> dict[str, int]:
    base: dict[str, int] = {}
    for entry in history:
        if entry.change == ResourceChange.ALIAS_MOVED and entry.alias is not None and entry.reason == reason:
            base.pop(entry.alias, None)
            if entry.version is not None:
                base[entry.alias] = entry.version
    return base


def _named(number: int, keys: Mapping[int, str]) -> str:
    return keys.get(number, f"version {number} here")
