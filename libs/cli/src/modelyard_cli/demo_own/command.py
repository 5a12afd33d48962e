"""The demo of models that were made elsewhere, from files to served versions."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import typer

from modelyard_cli.demo.stage import fresh_platform, say
from modelyard_cli.demo_own.cases import CASES, Case
from modelyard_cli.demo_own.report import Report, as_tables, faults
from modelyard_cli.demo_own.steps import RULES, Say, refused, rolled_back, served
from modelyard_cli.output import Form, complain, show
from modelyard_cli.stack.layout import StackError

MAKING_TIMEOUT_S: Final = 600.0
BAD: Final = "bad"


def run_demo_own(names: Sequence[str], data_dir: Path, *, keep: bool, output: Form) -> None:
    """Report progress as it happens; exit code 1 when a count does not add up."""
    began = time.monotonic()
    cases = chosen(names)
    tell: Say = lambda text: say(began, text)  # noqa: E731  the begin is known here only
    folder = data_dir / "models"
    make(cases, folder, data_dir.parent / "cache")
    tell(f"made {len(cases)} models in {folder}")
    with fresh_platform(data_dir, keep, began) as platform:
        found: Report = {"models": [served(platform, case, folder, tell) for case in cases]}
        found["refused"] = [refused(platform, folder, tell)]
        found["rollback_seconds"] = rolled_back(platform, folder, tell) if RULES in cases else None
    found["wall_seconds"] = round(time.monotonic() - began, 1)
    (data_dir / "report.json").write_text(json.dumps(found, indent=2, default=str))
    show(output, found, lambda: as_tables(found))
    wrong = faults(found, cases)
    for fault in wrong:
        complain(f"wrong: {fault}")
    raise typer.Exit(1 if wrong else 0)


def chosen(names: Sequence[str]) -> tuple[Case, ...]:
    """The named cases, or all; StackError lists them for an unknown name."""
    known = {case.name: case for case in CASES}
    if unknown := [name for name in names if name not in known]:
        raise StackError(f"--only {unknown[0]}: use {', '.join(known)}")
    return tuple(case for case in CASES if not names or case.name in names)


def make(cases: Sequence[Case], folder: Path, cache: Path) -> None:
    """Make the models and the bad file in a process of its own, whose libraries take memory."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "modelyard_cli.demo_own.making", str(folder), str(cache)]
    done = subprocess.run(  # noqa: S603  our own module
        [*command, *(case.name for case in cases), BAD],
        capture_output=True,
        text=True,
        timeout=MAKING_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise StackError(f"the models cannot be made: {last}; run `make demo-own`, which installs their libraries")
