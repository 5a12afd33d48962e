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
    _require_digests(choice)
    place = cache / httpx.URL(hub.connection.endpoint).host / snapshot.repo / snapshot.commit
    folder, parts = place / "files", place / "parts"
    with _alone(place):
        _remove_others(folder, choice)
        _check_space(place, folder, parts, choice)
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
    return folder


def _require_digests(choice: Choice) -> None:
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


def _check_space(place: Path, folder: Path, parts: Path, choice: Choice) -> None:
    there = sum(path.stat().st_size for path in (*folder.rglob("*"), *parts.rglob("*")) if path.is_file())
    needed, free = choice.size_bytes - there, shutil.disk_usage(place).free
    if needed > free:
        amounts = f"{needed / MIB:,.0f} MiB more, and {free / MIB:,.0f} MiB are free"
        raise UnfitModel(f"{place}: the files need {amounts}; free some, or set --cache")
