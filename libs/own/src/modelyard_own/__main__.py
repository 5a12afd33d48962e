"""`python -m modelyard_own`: read an uploaded model in a process of its own, confined to the folder of the upload.

Standard input: a `Task` as JSON. Standard output: an `Answer` as JSON. A model that cannot be used is an answer.
"""

import os
import shutil
import sys
from pathlib import Path

from modelyard_confine import Amounts, Confinement, confine
from modelyard_own.work import OUT, Task, answer

MIB = 1 << 20


def main() -> None:
    task = Task.model_validate_json(sys.stdin.buffer.read())
    folder = Path(task.folder).resolve()
    out = folder / OUT
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(mode=0o700)
    amounts = Amounts(memory_mib=task.memory_bytes // MIB, file_mib=-(-task.max_bytes // MIB), cpu_s=task.seconds)
    confine(Confinement(scratch=out, readable=(folder,), amounts=amounts))
    os.chdir(folder)  # so that messages name the files as they were sent
    sys.stdout.write(answer(task).model_dump_json())


if __name__ == "__main__":
    main()
