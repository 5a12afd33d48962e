"""Uploaded models that wait for their registration: a file or a folder each, with a sample."""

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from modelyard_console.domain.imports import Download, Listing
from modelyard_console.domain.registration import Registration
from modelyard_console.store.folders import Note, Sent, UploadFolders, safe_name
from modelyard_console.store.room import Room, size_of
from modelyard_contracts.admission import ScanReport
from modelyard_own import Origin
from modelyard_own.work import FILES, OUT, SAMPLE, Answer
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Invalid

ANSWER: Final = "answer.json"
SCAN: Final = "scan.json"
REGISTRATION: Final = "registration.json"
LISTING: Final = "listing.json"
DOWNLOAD: Final = "download.json"
PARTS: Final = "parts"
"""Folder of files that arrive from a hub."""
ROOT: Final = "model"
"""Folder of files that were sent without one."""
ADVICE: Final = "register them or wait for them to be deleted, or use `modelyard register`"
NOT_KEPT: Final = frozenset({"__pycache__"})


class ModelUpload(Note):
    """An uploaded model and what its owner chose so far."""

    name: str
    """The file, or the folder of several files."""
    files: int
    sample: str | None = None
    model: str = ""
    values: dict[str, str] = Field(default_factory=dict)
    """Fields of the form, as they were sent."""
    origin: Origin | None = None
    """Of files that are downloaded from a hub."""


class ModelUploads(UploadFolders[ModelUpload]):
    """Models for registration."""

    def __init__(self, folder: Path, keep: timedelta, room: Room, clock: Clock) -> None:
        super().__init__(ModelUpload, folder, keep, room, clock, ADVICE)

    def add(
        self, files: Sequence[Sent], sample: Sent | None, owner: str, model: str, values: Mapping[str, str]
    ) -> ModelUpload:
        """Store a model; Invalid names the field of files that are empty, have one name, or take too much room."""
        with self.new_folder() as (upload_id, now, folder):
            stored = self._files(files, folder)
            upload = ModelUpload(
                id=upload_id,
                owner=owner,
                uploaded_at=now,
                **stored,
                sample=self.write_sample(sample, folder),
                model=model,
                values=dict(values),
            )
            self.save(upload)
            return upload

    def add_import(
        self, listing: Listing, sample: Sent | None, owner: str, model: str, values: Mapping[str, str]
    ) -> ModelUpload:
        """Store what a repository has, and the sample; the files come later, with `download`. Invalid as of `add`."""
        with self.new_folder() as (upload_id, now, folder):
            upload = ModelUpload(
                id=upload_id,
                owner=owner,
                uploaded_at=now,
                name=safe_name(listing.snapshot.repo),
                files=len(listing.choice.taken),
                size_bytes=listing.choice.size_bytes,
                sample=self.write_sample(sample, folder),
                model=model,
                values=dict(values),
                origin=listing.snapshot.origin,
            )
            self.save(upload)
            self.keep(upload, LISTING, None, listing)
            self.keep(upload, DOWNLOAD, None, Download())
            return upload

    def places(self, upload: ModelUpload) -> tuple[Path, Path]:
        """Folders of a downloaded model: of its files, and of those that arrive."""
        return self.folder(upload) / FILES / upload.name, self.folder(upload) / PARTS

    def have_bytes(self, upload: ModelUpload) -> int:
        """Bytes of an import that have arrived."""
        return sum(size_of(path) for place in self.places(upload) for path in place.rglob("*"))

    def again(self, upload: ModelUpload) -> ModelUpload:
        """Keep an upload for the whole time from now on."""
        renewed = upload.model_copy(update={"uploaded_at": self._clock()})
        self.save(renewed)
        return renewed

    def replace(self, upload: ModelUpload, files: Sequence[Sent], sample: Sent | None) -> ModelUpload:
        """The upload, under a new id, with other files, another sample or both; what is not sent stays.

        Invalid as of `add`, and if nothing is sent; the upload is then as before.
        """
        if not files and sample is None:
            raise Invalid("Files: choose other files, another sample, or both", field="files")
        with self.new_folder() as (upload_id, now, folder):
            changes: dict[str, Any] = {"id": upload_id, "uploaded_at": now}
            if files:
                changes |= {**self._files(files, folder), "origin": None}
            else:
                _link(self.folder(upload) / FILES, folder / FILES)
            if sample is not None:
                changes["sample"] = self.write_sample(sample, folder)
            elif upload.sample is not None:
                _link(self.folder(upload) / SAMPLE, folder / SAMPLE)
            replaced = upload.model_copy(update=changes)
            self.save(replaced)
        self.remove(upload)
        return replaced

    def _files(self, files: Sequence[Sent], folder: Path) -> dict[str, Any]:
        """Store the files; returns the fields of the note about them."""
        name, paths = _placed([name for name, _ in files])
        contents = zip(paths, (content for _, content in files), strict=True)
        size = sum(self.write(content, folder / FILES / path, "files") for path, content in contents if path)
        if not size:
            raise Invalid("Files: the files are empty; choose a model", field="files")
        return {"name": name, "files": sum(path is not None for path in paths), "size_bytes": size}

    def answer(self, upload: ModelUpload) -> Answer | None:
        """The reading with the values of the upload; None if it was not read with them."""
        return self.kept(upload, ANSWER, upload.values, Answer)

    def keep_answer(self, upload: ModelUpload, answer: Answer) -> None:
        self.keep(upload, ANSWER, upload.values, answer)

    def scan(self, upload: ModelUpload) -> ScanReport | None:
        return self.kept(upload, SCAN, None, ScanReport)

    def keep_scan(self, upload: ModelUpload, report: ScanReport) -> None:
        self.keep(upload, SCAN, None, report)

    def registration(self, upload: ModelUpload) -> Registration | None:
        """How far the registration is; None before its start."""
        return self.kept(upload, REGISTRATION, None, Registration)

    def keep_registration(self, upload: ModelUpload, found: Registration) -> None:
        self.keep(upload, REGISTRATION, None, found)

    def listing(self, upload: ModelUpload) -> Listing | None:
        """What the repository has; None for an upload that is no import."""
        return self.kept(upload, LISTING, None, Listing)

    def download(self, upload: ModelUpload) -> Download | None:
        """How far the download is; None for an upload that is no import."""
        return self.kept(upload, DOWNLOAD, None, Download)

    def keep_download(self, upload: ModelUpload, found: Download) -> None:
        self.keep(upload, DOWNLOAD, None, found)

    def clear(self, upload: ModelUpload) -> None:
        """Delete the files of a registered model; the note stays, so that its page does."""
        for name in (FILES, SAMPLE, OUT):
            shutil.rmtree(self.folder(upload) / name, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """The same files in another folder, without copies of their content."""
    shutil.copytree(source, target, copy_function=os.link)


def _placed(names: Sequence[str]) -> tuple[str, list[Path | None]]:
    """Name of the model, and a path below the folder of files for each name; None for a file that is left out."""
    parts = [_parts(name) for name in names]
    kept = [one for one in parts if one is not None]
    if not kept:
        raise Invalid("Files: choose the file or the folder of a model", field="files")
    if len(kept) == 1 and len(kept[0]) == 1:
        return kept[0][0], [Path(*one) if one else None for one in parts]
    roots = {one[0] for one in kept}
    root = () if len(roots) == 1 and all(len(one) > 1 for one in kept) else (ROOT,)
    paths = [Path(*root, *one) if one else None for one in parts]
    if twice := next((path for path in paths if path is not None and paths.count(path) > 1), None):
        raise Invalid(f"Files: two files have the name {twice.name!r}; choose their folder instead", field="files")
    return root[0] if root else kept[0][0], paths


def _parts(name: str) -> tuple[str, ...] | None:
    """The parts of a path, each a plain name; None for a hidden file, which no model needs."""
    given = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if not given or any(part.startswith(".") or part in NOT_KEPT for part in given):
        return None
    return tuple(safe_name(part) for part in given)
