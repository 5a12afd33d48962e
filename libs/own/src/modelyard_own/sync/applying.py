"""Take over what changed there: register missing versions, then tags, descriptions and aliases."""

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from modelyard import ApiError, RegistryClient
from modelyard.errors import ApiUnavailable
from modelyard_contracts.messages.registry import ResourceChange
from modelyard_contracts.tables.table import Dialect, UnfitFile
from modelyard_own.description import Description
from modelyard_own.manifest import Plan
from modelyard_own.origin import Origin
from modelyard_own.planning import Request, plan_of
from modelyard_own.registration import register_plan
from modelyard_own.remote import Report
from modelyard_own.sync.comparing import Difference, Here, HereVersion, State, What, differences
from modelyard_own.sync.foreign import Fits, ForeignModel, ForeignRegistry, ForeignVersion
from modelyard_own.sync.here import read_here, reason_of
from modelyard_own.tarballs import SUFFIXES, unpacked_tar
from modelyard_own.work import FILES

STALE: Final = "stale_labels"
"""Code of the registry's refusal when the tags of a version changed after they were read."""


Read = Callable[[Request], Plan]


def anything(_: int) -> None:
    """No limit for the bytes of a version."""


def plan_in(request: Request) -> Plan:
    """Unpack an archive and read the model, in this process."""
    if not request.path.name.endswith(SUFFIXES):
        return plan_of(request)
    return plan_of(replace(request, path=unpacked_tar(request.path, request.path.parent / "unpacked")))


@dataclass(frozen=True)
class Sync:
    """A synchronisation of one model.

    model: its reference here. cache: folder whose subfolder `files` takes downloads, and is emptied afterwards. read:
    reads the files of a version, which are those of others. only: keys of the versions to take over, and "" for aliases
    that are gone there; None for everything.
    """

    registry: RegistryClient
    foreign: ForeignRegistry
    model: str
    cache: Path
    report: Report
    stated: Description = field(default_factory=Description)
    dialect: Dialect = field(default_factory=Dialect)
    read: Read = plan_in
    fits: Fits = anything
    only: Collection[str] | None = None

    def takes(self, found: Difference) -> bool:
        """Whether a difference is among those that were asked for."""
        return self.only is None or found.version in self.only


@dataclass(frozen=True)
class Outcome:
    """What became of a difference. done: whether it was taken over; text: the result, or why it was not."""

    difference: Difference
    done: bool
    text: str


def synchronise(sync: Sync, there: ForeignModel) -> Iterator[Outcome]:
    """Register what is missing here, and take over what changed there; yields one outcome per such difference.

    Nothing that a person changed here is overwritten, no version is removed, and a repetition finds nothing to do.
    A version that cannot be registered is an outcome, not an error. ApiError if a service does not answer.
    """
    here = read_here(sync.registry, sync.foreign, there.name, sync.model)
    versions = {version.key: version for version in there.versions}
    for found in differences(there, here):
        if found.state is State.MISSING_HERE and sync.takes(found):
            yield _registered(sync, there, versions[found.version], found)
    here = read_here(sync.registry, sync.foreign, there.name, sync.model)
    changed = [found for found in differences(there, here) if found.state is State.CHANGED_THERE and sync.takes(found)]
    for key, version in here.versions.items():
        yield from _tags(sync, version, [one for one in changed if one.what is What.TAG and one.version == key])
    for found in changed:
        if found.what is What.DESCRIPTION:
            yield _description(sync, here.versions[found.version], found)
        elif found.what is What.ALIAS:
            yield _alias(sync, here, found)


def _registered(sync: Sync, there: ForeignModel, version: ForeignVersion, found: Difference) -> Outcome:
    folder = sync.cache / FILES / "version"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        path = sync.foreign.fetch(version, folder, sync.report, sync.fits)
        _date(folder, version)
        done = register_plan(sync.registry, sync.read(_request(sync, there, version, path)), sync.model, sync.report)
    except ApiUnavailable:
        raise
    except (UnfitFile, ApiError) as error:
        return Outcome(found, False, str(error).replace(f"{folder}/", ""))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome(found, True, f"registered as version {done.info.version}")


def _request(sync: Sync, there: ForeignModel, version: ForeignVersion, path: Path) -> Request:
    """The facts of the command line, and the origin, by which the version is found again."""
    stated = sync.stated.model_copy(update={"description": there.description})
    origin = Origin(sync.foreign.page_of(there.name), version.key, kind=sync.foreign.kind)
    return Request(path, stated, sync.dialect, origin=origin)


def _date(folder: Path, version: ForeignVersion) -> None:
    """Files have the time of the version, so that a registration that was stopped is continued, not repeated."""
    if version.made_at is not None:
        for path in folder.rglob("*"):
            os.utime(path, (version.made_at.timestamp(),) * 2, follow_symlinks=False)


def _tags(sync: Sync, version: HereVersion, changed: Sequence[Difference]) -> Iterator[Outcome]:
    """All tags of one version, in one change on top of the tags of this moment."""
    if not changed:
        return
    info = sync.registry.version(sync.model, version.number)
    tags = dict(info.tags)
    for one in changed:
        if tags.get(one.name) == one.here:
            tags.pop(one.name, None)
            tags |= {} if one.there is None else {one.name: one.there}
    try:
        sync.registry.label_version(
            sync.model,
            version.number,
            tags=tags,
            expected_revision=info.labels_revision,
            reason=reason_of(sync.foreign),
        )
    except ApiError as error:
        if error.code != STALE:
            raise
        yield from (Outcome(one, False, "a person changed the tags just now; run it again") for one in changed)
        return
    yield from (Outcome(one, True, "set" if one.there is not None else "removed") for one in changed)


def _description(sync: Sync, version: HereVersion, found: Difference) -> Outcome:
    card = sync.registry.card_document(sync.model, version.number).card
    prose = card.prose.model_copy(update={"notes": found.there or ""})
    sync.registry.edit_card(
        sync.model, version.number, prose, expected_revision=card.prose_revision, reason=reason_of(sync.foreign)
    )
    return Outcome(found, True, "written to the notes of the card")


def _alias(sync: Sync, here: Here, found: Difference) -> Outcome:
    moves = [one for one in sync.registry.history(sync.model) if one.alias == found.name]
    moves = [one for one in moves if one.change == ResourceChange.ALIAS_MOVED]
    generation = (moves[-1].alias_generation or 0) if moves else 0
    reason = reason_of(sync.foreign)
    if found.there is None:
        sync.registry.drop_alias(sync.model, found.name, expected_generation=generation, reason=reason)
        return Outcome(found, True, "removed")
    number = here.versions[found.there].number
    sync.registry.move_alias(sync.model, found.name, number, expected_generation=generation, reason=reason)
    return Outcome(found, True, f"points at version {number}")
