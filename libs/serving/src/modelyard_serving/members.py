"""Versions of one model that share this process, as a file lists them.

The deployer writes the file, and replaces it when members change; every probe of the server looks whether it did.
Versions are loaded one after the other in a thread of their own, while those that are loaded answer.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final, Literal

import msgspec

from modelyard_serving.batching import Batcher
from modelyard_serving.errors import Unloadable
from modelyard_serving.inference import Served
from modelyard_serving.loading import Load, LoadedModel, load

LOADING_SWITCH_S: Final = 0.0005
"""Longest turn of a thread while a version is loaded (sys.setswitchinterval), so that answers wait less for it."""
State = Literal["loading", "ready", "failed", "hung", "leaving", "absent"]


class Listed(msgspec.Struct, frozen=True):
    """A version in the file."""

    version: str
    folder: str
    digest: str
    """Of its manifest."""


class MembersFile(msgspec.Struct, frozen=True):
    """The file. Unknown fields are ignored."""

    model: str
    members: tuple[Listed, ...] = ()


def read_members(file: Path) -> MembersFile:
    """Unloadable if the file cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=MembersFile)
    except OSError as error:
        raise Unloadable(f"cannot read {file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Unloadable(f"{file}: not a list of members: {error}") from error


class Members:
    """Used on one event loop; `close` ends the thread that loads."""

    def __init__(self, file: Path, batcher: Batcher, flavour_load: Load | None = None) -> None:
        self._file, self._batcher = file, batcher
        self.model = read_members(file).model
        self.served: dict[str, Served] = {}
        self._listed: dict[str, Listed] = {}
        self._failed: dict[Listed, str] = {}
        self._seen = 0
        self._loop = asyncio.get_running_loop()
        self._loader = Loader(self.model, self._loaded, flavour_load)

    def refresh(self) -> None:
        """Follow the file if it has changed; a file that cannot be read changes nothing."""
        with contextlib.suppress(OSError, Unloadable):
            changed = self._file.stat().st_mtime_ns
            if changed != self._seen:
                listed = {member.version: member for member in read_members(self._file).members}
                self._seen = changed
                self._follow(listed)

    def state(self, version: str) -> tuple[State, str]:
        """The state of a version, and the cause if it failed."""
        member = self._listed.get(version)
        if member is None:
            gone = self._batcher.gone(version) and not self._loader.holds(version)
            return ("absent" if gone else "leaving"), ""
        if version in self.served:
            return ("hung" if self._batcher.hung(version) else "ready"), ""
        return ("failed", self._failed[member]) if member in self._failed else ("loading", "")

    def close(self) -> None:
        self._loader.close()

    def _follow(self, listed: dict[str, Listed]) -> None:
        for version, member in self._listed.items():
            if listed.get(version) != member and version in self.served:
                del self.served[version]
                self._batcher.remove(version)
        added = [member for version, member in listed.items() if self._listed.get(version) != member]
        self._listed = listed
        self._failed = {member: why for member, why in self._failed.items() if member in listed.values()}
        for member in added:
            self._loader.put(member)

    def _loaded(self, member: Listed, result: LoadedModel | str) -> None:
        """Called in the thread that loads."""
        with contextlib.suppress(RuntimeError):  # the loop was closed
            self._loop.call_soon_threadsafe(self._install, member, result)

    def _install(self, member: Listed, result: LoadedModel | str) -> None:
        if self._listed.get(member.version) != member:
            return
        if isinstance(result, str):
            self._failed[member] = result
            print(f"cannot serve version {member.version}: {result}", file=sys.stderr, flush=True)
            return
        self._batcher.add(member.version, result.predictor.predict)
        self.served[member.version] = Served.of(result)


class Loader:
    """Loads one version after the other in a thread; one that cannot be loaded does not affect the others."""

    def __init__(
        self, model: str, loaded: Callable[[Listed, LoadedModel | str], None], flavour_load: Load | None
    ) -> None:
        self._model, self._notify, self._flavour_load = model, loaded, flavour_load
        self._queue: SimpleQueue[Listed | None] = SimpleQueue()
        self._current: Listed | None = None
        Thread(target=self._work, name="loader", daemon=True).start()

    def put(self, member: Listed) -> None:
        self._queue.put(member)

    def holds(self, version: str) -> bool:
        """Whether the thread is loading this version."""
        return self._current is not None and self._current.version == version

    def close(self) -> None:
        self._queue.put(None)

    def _work(self) -> None:
        while (member := self._queue.get()) is not None:
            self._current = member
            usual_s = sys.getswitchinterval()
            sys.setswitchinterval(LOADING_SWITCH_S)
            try:
                self._notify(member, self._load(member))
            finally:
                sys.setswitchinterval(usual_s)
                self._current = None

    def _load(self, member: Listed) -> LoadedModel | str:
        try:
            model = load(Path(member.folder), member.version, self._flavour_load, digest=member.digest)
        except Exception as error:
            return str(error) if isinstance(error, Unloadable) else f"{type(error).__name__}: {error}"
        if model.name != self._model:
            return f"{member.folder} holds a version of {model.name}, not of {self._model}"
        return model


def write_members(file: Path, members: MembersFile) -> None:
    """Replace the file at once: a reader sees the old members or the new ones."""
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(members))
    before = file.stat().st_mtime_ns if file.exists() else 0
    if temporary.stat().st_mtime_ns <= before:  # the same tick of the clock: the server would not notice the change
        os.utime(temporary, ns=(before + 1, before + 1))
    temporary.replace(file)
