"""Run one job in one process."""

import importlib
import json
import sys
from pathlib import Path

from modelyard_evaluator.scoring.errors import exit_code

COMMANDS = ("pin", "measure", "compare")


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit code (errors.py)."""
    if len(arguments) != 2 or arguments[0] not in COMMANDS:
        print(f"usage: python -m modelyard_evaluator.scoring {'|'.join(COMMANDS)} FOLDER", file=sys.stderr)
        return 2
    command, folder = arguments[0], Path(arguments[1])
    job = json.loads((folder / f"{command}.job.json").read_text())
    try:
        result = importlib.import_module(f"modelyard_evaluator.scoring.{command}").run(folder, job)
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return exit_code(error)
    (folder / f"{command}.json").write_text(json.dumps(result, allow_nan=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
