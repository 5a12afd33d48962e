"""Start a trial in a process of its own, and end it when it exceeds a limit."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from modelyard_confine import allowed_environment
from modelyard_contracts.connections import ConnectionAccess
from modelyard_serving.trial.report import TrialLimits, TrialOutcome, TrialReport

POLL_S: Final = 0.05
ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip
MIB: Final = 1 << 20
LOG_TAIL_BYTES: Final = 2_000


def run_trial(folder: Path, limits: TrialLimits | None = None, access: ConnectionAccess | None = None) -> TrialReport:
    """Try the version in `folder`, which holds manifest.json and its files. Blocks for `limits.seconds` at most.

    access: connection of a model of a provider; a file holds it for as long as the trial runs. Whatever the version
    does is a report. OSError if this machine cannot start a process.
    """
    limits = limits or TrialLimits()
    with tempfile.TemporaryDirectory(prefix="modelyard-trial-") as name:
        home = Path(name)
        (home / "scratch").mkdir()
        with (home / "report").open("w+b") as report, (home / "log").open("w+b") as log:
            connection = _written(home / "connection", access)
            command = _command(folder.resolve(), home / "scratch", limits, connection)
            process = _start(command, home / "scratch", report.fileno(), log.fileno())
            stopped = _watch(process, home / "scratch", limits)
            report.seek(0)
            return stopped or _read(report.read(), process.returncode, _tail(home / "log"))


def _written(folder: Path, access: ConnectionAccess | None) -> Path | None:
    """The connection in a file that only this user reads."""
    if access is None:
        return None
    folder.mkdir(mode=0o700)
    file = folder / "access.json"
    file.touch(mode=0o600)
    file.write_text(access.model_dump_json(), encoding="utf-8")
    return file


def _command(folder: Path, scratch: Path, limits: TrialLimits, connection: Path | None) -> list[str]:
    command = [sys.executable, "-m", "modelyard_serving.trial", "--model-dir", str(folder), "--scratch", str(scratch)]
    command += ["--seconds", str(limits.seconds), "--memory-mib", str(limits.memory_mib)]
    command += ["--scratch-mib", str(limits.scratch_mib), "--measure-s", str(limits.measure_s)]
    command += ["--allow-unconfined"] if limits.allow_unconfined else []
    return command + (["--connection", str(connection)] if connection else [])


def _start(command: list[str], scratch: Path, report: int, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [*command, "--report-fd", str(report)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**allowed_environment(), **ONE_THREAD},
        cwd=scratch,
        pass_fds=(report,),
        start_new_session=True,
    )


def _watch(process: subprocess.Popen[bytes], scratch: Path, limits: TrialLimits) -> TrialReport | None:
    """Wait for the end; a report if a limit was exceeded. The process has ended when this returns."""
    deadline = time.monotonic() + limits.seconds
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                return _over(f"it did not finish within {limits.seconds:g} s")
            if (used := _bytes_below(scratch)) > limits.scratch_mib * MIB:
                return _over(f"it wrote {used // MIB} MiB of files; the limit is {limits.scratch_mib} MiB")
            try:
                process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                continue
        return None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _over(reason: str) -> TrialReport:
    return TrialReport(outcome=TrialOutcome.OVER_LIMIT, reason=reason)


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except OSError:
                continue  # removed meanwhile
    return total


def _read(data: bytes, code: int, log: str) -> TrialReport:
    try:
        return TrialReport.model_validate_json(data)
    except ValidationError:
        return TrialReport(outcome=TrialOutcome.FAILED, reason=_crash(code, log))


def _crash(code: int, log: str) -> str:
    ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code} without a report"
    return f"its process {ended}" + (f"; its last line was: {log}" if log else "")


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - LOG_TAIL_BYTES, 0))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
