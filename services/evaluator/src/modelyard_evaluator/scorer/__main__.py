"""One job, one process."""

import importlib
import json
import sys
from pathlib import Path

from modelyard_evaluator.scorer.errors import exit_code

WORDS = ("pin", "measure", "compare")


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in WORDS:
        print(f"usage: python -m modelyard_evaluator.scorer {'|'.join(WORDS)} FOLDER", file=sys.stderr)
        return 2
    word, folder = arguments[0], Path(arguments[1])
    job = json.loads((folder / f"{word}.job.json").read_text())
    try:
        result = importlib.import_module(f"modelyard_evaluator.scorer.{word}").run(folder, job)
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return exit_code(error)
    (folder / f"{word}.json").write_text(json.dumps(result, allow_nan=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
