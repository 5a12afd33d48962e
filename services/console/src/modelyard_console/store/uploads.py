"""Uploaded files that wait for their training run."""

from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from pydantic import Field

from modelyard_console.store.folders import NOTE, Note, UploadFolders, safe_name
from modelyard_console.store.room import Room
from modelyard_contracts.tables.work import Answer, ChosenOptions
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Invalid

ANSWER: Final = "answer.json"
ADVICE: Final = "start their runs or wait for them to be deleted, or use `modelyard train`"


class Upload(Note):
    """An uploaded file and what its owner chose so far."""

    file: str
    """Name of the file, without signs that a path or a page could misread."""
    model: str = ""
    options: ChosenOptions = Field(default_factory=ChosenOptions)
    recipe: str = ""
    metric: str = ""
    new_contract: bool = False
    reason: str = ""


class Uploads(UploadFolders[Upload]):
    """Files for training."""

    def __init__(self, folder: Path, keep: timedelta, room: Room, clock: Clock) -> None:
        super().__init__(Upload, folder, keep, room, clock, ADVICE)

    def add(self, content: BinaryIO, name: str, owner: str, model: str) -> Upload:
        """Store a file; Invalid if it is empty or all uploads together would take too much room."""
        with self.new_folder() as (upload_id, now, folder):
            file = safe_name(name, (NOTE, ANSWER))
            size = self.write(content, folder / file)
            if not size:
                raise Invalid("the file is empty; choose a CSV or Parquet file", field="file")
            upload = Upload(id=upload_id, file=file, size_bytes=size, owner=owner, uploaded_at=now, model=model)
            self.save(upload)
            return upload

    def answer(self, upload: Upload) -> Answer | None:
        """The reading of the file with the options of the upload; None if it was not read with them."""
        return self.kept(upload, ANSWER, upload.options.model_dump(mode="json"), Answer)

    def keep_answer(self, upload: Upload, answer: Answer) -> None:
        self.keep(upload, ANSWER, upload.options.model_dump(mode="json"), answer)
