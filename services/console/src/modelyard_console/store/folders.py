"""Folders of uploads, each with a note of what its owner chose; deleted after a time."""

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from modelyard_console.store.room import Room
from modelyard_own.work import SAMPLE
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Invalid, NotFound

NOTE: Final = "upload.json"
CHUNK_BYTES: Final = 1 << 20
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_KEPT_NAME: Final = 100


class Note(BaseModel):
    """What every upload has."""

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    uploaded_at: datetime
    size_bytes: int = 0


Sent = tuple[str, BinaryIO]
"""Name, with the path below a chosen folder, and content of an uploaded file."""
NoteT = TypeVar("NoteT", bound=Note)
KeptT = TypeVar("KeptT", bound=BaseModel)


class UploadFolders(Generic[NoteT]):
    """The folders of one kind of upload. Blocks: call it off the event loop."""

    def __init__(self, note: type[NoteT], folder: Path, keep: timedelta, room: Room, clock: Clock, advice: str) -> None:
        self._note, self._folder, self._keep = note, folder, keep
        self.room, self._clock, self._advice = room, clock, advice

    @property
    def keep_h(self) -> float:
        """Hours for which an upload is kept."""
        return self._keep.total_seconds() / 3600

    @contextmanager
    def new_folder(self) -> Iterator[tuple[str, datetime, Path]]:
        """Id, time and empty folder of a new upload; the folder is deleted if the upload fails."""
        self.prune()
        upload_id = secrets.token_urlsafe(16)
        folder = self._folder / upload_id
        folder.mkdir(parents=True, mode=0o700)
        try:
            yield upload_id, self._clock(), folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def find(self, upload_id: str, owner: str) -> NoteT:
        """The upload of this owner; NotFound when it is of another person, deleted, or on another console."""
        upload = self._read(self._folder / upload_id) if _ID.fullmatch(upload_id) else None
        if upload is None or upload.owner != owner:
            raise NotFound(
                f"this upload is not here any more (files are kept for {self.keep_h:g} hours); upload the file again"
            )
        return upload

    def all(self) -> list[NoteT]:
        """The uploads of all people."""
        return [found for path in self._paths() if (found := self._read(path)) is not None]

    def save(self, upload: NoteT) -> None:
        """Keep what was chosen."""
        _replace(self.folder(upload) / NOTE, upload.model_dump_json())

    def kept(self, upload: NoteT, name: str, key: object, type_: type[KeptT]) -> KeptT | None:
        """A result that was kept under the same key; None if there is none."""
        with suppress(OSError, ValidationError, ValueError, KeyError):
            kept = json.loads((self.folder(upload) / name).read_text())
            if kept["key"] == key:
                return type_.model_validate_json(json.dumps(kept["result"]))
        return None

    def keep(self, upload: NoteT, name: str, key: object, result: BaseModel) -> None:
        """Keep a result. key: what it was made from, as JSON values."""
        _replace(self.folder(upload) / name, json.dumps({"key": key, "result": json.loads(result.model_dump_json())}))

    def folder(self, upload: NoteT) -> Path:
        return self._folder / upload.id

    def remove(self, upload: NoteT) -> None:
        shutil.rmtree(self.folder(upload), ignore_errors=True)

    def prune(self) -> int:
        """Delete what is too old or was left half written; returns how many."""
        last = self._clock() - self._keep
        old = [path for path in self._paths() if self._written_at(path) < last]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    def write(self, content: BinaryIO, path: Path, field: str = "file") -> int:
        """Write a file chunk by chunk; returns its bytes. Invalid if all uploads would take too much room."""
        path.parent.mkdir(parents=True, exist_ok=True)
        room, size = self.room.free_bytes(), 0
        with path.open("xb") as target:
            while chunk := content.read(CHUNK_BYTES):
                size += len(chunk)
                if size > room:
                    raise Invalid(f"uploaded files that wait take too much room; {self._advice}", field=field)
                target.write(chunk)
        return size

    def write_sample(self, sample: Sent | None, folder: Path) -> str | None:
        """Write the sample of a model; returns its name. Invalid if it is empty, or as of `write`."""
        if sample is None:
            return None
        name = safe_name(sample[0])
        if not self.write(sample[1], folder / SAMPLE / name, "sample"):
            raise Invalid("Sample: the file is empty; choose a CSV or Parquet file", field="sample")
        return name

    def _paths(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in self._folder.iterdir() if _ID.fullmatch(path.name))

    def _written_at(self, path: Path) -> datetime:
        upload = self._read(path)
        if upload is not None:
            return upload.uploaded_at
        return datetime.fromtimestamp(path.stat().st_mtime, self._clock().tzinfo)

    def _read(self, path: Path) -> NoteT | None:
        with suppress(OSError, ValidationError):
            return self._note.model_validate_json((path / NOTE).read_bytes())
        return None


def safe_name(name: str, taken: tuple[str, ...] = (NOTE,)) -> str:
    """The name of an uploaded file as a plain file name: no path, no control or direction marks."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(sign if sign.isalnum() or sign in "._- " else "_" for sign in last).strip(" .")[-_KEPT_NAME:]
    return f"file-{kept}" if not kept or kept.startswith(".") or kept in taken else kept


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
