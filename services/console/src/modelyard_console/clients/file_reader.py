"""Reading an uploaded table in a process of its own: it may take seconds and gigabytes that a console does not have."""

from pathlib import Path

from pydantic import ValidationError

from modelyard_console.clients.programs import Program, TookTooLong
from modelyard_contracts.signature import Signature
from modelyard_contracts.tables.work import Answer, ChosenOptions, Task


class FileReader:
    """Starts `python -m modelyard_contracts.tables` for each reading."""

    def __init__(self, max_cells: int, memory_bytes: int, timeout_s: float) -> None:
        self.max_cells, self._memory_bytes, self._timeout_s = max_cells, memory_bytes, timeout_s
        self._program = Program("modelyard_contracts.tables", timeout_s)

    def read(
        self,
        folder: Path,
        file: str,
        options: ChosenOptions,
        *,
        known: Signature | None = None,
        write: str | None = None,
    ) -> Answer:
        """Read a file; a file that cannot be used is an answer with a problem. Unavailable while others are read.

        known: the signature that the columns must fit. write: name of a Parquet file to write beside the file.
        """
        task = Task(
            folder=str(folder.resolve()),
            file=file,
            choices=options,
            known=known,
            write=write,
            max_cells=self.max_cells,
            memory_bytes=self._memory_bytes,
        )
        with self._program.turn():
            return self._run(task)

    def _run(self, task: Task) -> Answer:
        try:
            return Answer.model_validate_json(self._program.run(task.model_dump_json()))
        except TookTooLong:
            return Answer.failed(f"{task.file} cannot be read within {self._timeout_s:g} s; leave rows or columns out")
        except ValidationError:
            return Answer.failed(
                f"{task.file} cannot be read within the memory for one file; leave rows or columns out"
            )
