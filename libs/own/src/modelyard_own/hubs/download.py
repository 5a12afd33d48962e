"""Download files of a repository into a folder: in pieces, resumed after a cut connection or a crash, verified."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from modelyard_own.errors import UnfitModel
from modelyard_own.hubs.choosing import Choice
from modelyard_own.hubs.sites import Hub
from modelyard_own.hubs.snapshot import Snapshot
from modelyard_own.remote import Report, Transfer

MIB: Final = 1 << 20
DIGEST: Final = r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}"


def download(hub: Hub, snapshot: Snapshot, choice: Choice, cache: Path, report: Report) -> Path:
    """Return a folder with exactly the chosen files, each with the digest that the hub states.

    Repeating it after a crash continues: complete files stay, and a partial one is resumed. The files have the time of
    the commit, so that the same commit gives the same manifest on every machine. One process at a time per commit.
    """
    require_digests(choice)
    place = cache / httpx.URL(hub.connection.endpoint).host / snapshot.repo / snapshot.commit
    folder, parts = place / "files", place / "parts"
    with _alone(place):
        fetch(hub, snapshot, choice, folder, parts, report)
    return folder


def fetch(hub: Hub, snapshot: Snapshot, choice: Choice, folder: Path, parts: Path, report: Report) -> None:
    """Download into a folder of the caller, who lets one run at a time; as `download`. parts: for files that arrive."""
    require_digests(choice)
    _remove_others(folder, choice)
    _check_space(folder, parts, choice)
    for number, file in enumerate(choice.taken, start=1):
        label = f"downloading {file.path} ({number} of {len(choice.taken)})"
        url, target = hub.url_of(snapshot, file), folder / file.path
        if not file.matches(target):
            transfer = Transfer(hub.connection, snapshot.repo, url, file, parts / file.path, label, report)
            transfer.run()
            target.parent.mkdir(parents=True, exist_ok=True)
            transfer.part.replace(target)
        if snapshot.made_at is not None:
            os.utime(target, (snapshot.made_at.timestamp(),) * 2)
    shutil.rmtree(parts, ignore_errors=True)


def require_digests(choice: Choice) -> None:
    """UnfitModel for a file whose bytes could not be verified."""
    unstated = [file.path for file in choice.taken if not re.fullmatch(DIGEST, file.digest)]
    if unstated:
        raise UnfitModel(f"{unstated[0]}: the hub states no digest, so its bytes cannot be verified; use --exclude")


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the lock of a folder; UnfitModel if another process has it."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnfitModel(f"{place}: another import of this commit is running; wait for its end") from error
        yield


def _remove_others(folder: Path, choice: Choice) -> None:
    """Remove files of an earlier import with other patterns."""
    chosen = {folder / file.path for file in choice.taken}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in chosen:
            path.unlink()


def _check_space(folder: Path, parts: Path, choice: Choice) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in (*folder.rglob("*"), *parts.rglob("*")) if path.is_file())
    needed, free = choice.size_bytes - there, shutil.disk_usage(folder).free
    if needed > free:
        amounts = f"{needed / MIB:,.0f} MiB more, and {free / MIB:,.0f} MiB are free"
        raise UnfitModel(f"{folder}: the files need {amounts}; free some on that disk")
