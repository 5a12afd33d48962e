"""What differs between a model here and there: three-way, with what the last synchronisation wrote as the base."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from modelyard_contracts.card import MAX_PROSE_CHARACTERS
from modelyard_own.sync.foreign import ForeignModel, ForeignVersion
from modelyard_own.sync.holding import ALIASES_OF_ROLLOUTS, alias_problem, tag_problem


class What(StrEnum):
    """Facts that are compared."""

    VERSION = "version"
    TAG = "tag"
    ALIAS = "alias"
    DESCRIPTION = "description"
    """Of a version; here it is the section `notes` of its card."""
    MODEL_DESCRIPTION = "model description"


class State(StrEnum):
    """On which side a fact has changed since the last synchronisation."""

    MISSING_HERE = "missing here"
    ONLY_HERE = "only here"
    CHANGED_THERE = "changed there"
    CHANGED_HERE = "changed here"
    CONFLICT = "conflict"
    NOT_TAKEN = "not taken"


@dataclass(frozen=True)
class Difference:
    """One fact that differs. name: of a tag or alias. version: key of the version there. None: absent on that side."""

    what: What
    state: State
    name: str = ""
    version: str = ""
    here: str | None = None
    there: str | None = None
    note: str = ""


@dataclass(frozen=True)
class HereVersion:
    """A version here that came from there. base_*: what the last synchronisation wrote."""

    number: int
    tags: Mapping[str, str] = field(default_factory=dict)
    base_tags: Mapping[str, str] = field(default_factory=dict)
    notes: str | None = None
    base_notes: str | None = None


@dataclass(frozen=True)
class Here:
    """A model here. versions: by their key there. others: numbers of versions that did not come from there.

    aliases, base_aliases: alias to key there, or to `version N here` of another version.
    """

    exists: bool = False
    description: str = ""
    versions: Mapping[str, HereVersion] = field(default_factory=dict)
    others: tuple[int, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    base_aliases: Mapping[str, str] = field(default_factory=dict)


FIXED: Final = "the description of a model is fixed when it is created"


def change(here: str | None, there: str | None, base: str | None) -> State | None:
    """On which side a value has changed; None if both sides agree."""
    if here == there:
        return None
    if here == base:
        return State.CHANGED_THERE
    return State.CHANGED_HERE if there == base else State.CONFLICT


def differences(there: ForeignModel, here: Here) -> Iterator[Difference]:
    """Yield every fact that differs: versions first, from the oldest."""
    if here.exists and there.description != here.description:
        yield Difference(
            What.MODEL_DESCRIPTION, State.NOT_TAKEN, here=here.description, there=there.description, note=FIXED
        )
    for version in there.versions:
        if (found := here.versions.get(version.key)) is None:
            yield Difference(What.VERSION, State.MISSING_HERE, version=version.key, there=version.key)
        else:
            yield from _of_version(version, found)
    known = {version.key for version in there.versions}
    for key, version_here in here.versions.items():
        if key not in known:
            yield Difference(
                What.VERSION, State.ONLY_HERE, version=key, here=str(version_here.number), note="gone there"
            )
    for number in here.others:
        yield Difference(What.VERSION, State.ONLY_HERE, here=str(number), note="made here")
    yield from _of_aliases(there, here)


def _of_version(there: ForeignVersion, here: HereVersion) -> Iterator[Difference]:
    for name in sorted({*there.tags, *here.tags}):
        ours, theirs = here.tags.get(name), there.tags.get(name)
        if (state := change(ours, theirs, here.base_tags.get(name))) is not None:
            problem = tag_problem(name, theirs) if state is State.CHANGED_THERE else ""
            state = State.NOT_TAKEN if problem else state
            yield Difference(What.TAG, state, name, there.key, ours, theirs, problem)
    description = there.description or None
    if (state := change(here.notes, description, here.base_notes)) is not None:
        too_long = len(there.description) > MAX_PROSE_CHARACTERS
        problem = f"more than {MAX_PROSE_CHARACTERS:,} characters" if too_long else ""
        state = State.NOT_TAKEN if problem else state
        yield Difference(What.DESCRIPTION, state, "", there.key, here.notes, description, problem)


def _of_aliases(there: ForeignModel, here: Here) -> Iterator[Difference]:
    for alias in sorted({*there.aliases, *here.aliases}):
        ours, theirs = here.aliases.get(alias), there.aliases.get(alias)
        state = change(ours, theirs, here.base_aliases.get(alias))
        if state is None or (alias in ALIASES_OF_ROLLOUTS and theirs is None):
            continue
        problem = alias_problem(alias) if theirs is not None else ""
        if not problem and state is State.CHANGED_THERE and theirs is not None and theirs not in here.versions:
            problem = f"version {theirs} is not here"
        state = State.NOT_TAKEN if problem else state
        yield Difference(What.ALIAS, state, alias, theirs or "", ours, theirs, problem)
