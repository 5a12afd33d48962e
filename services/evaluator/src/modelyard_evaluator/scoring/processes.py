"""Start scoring processes and enforce their limits of CPU time and memory."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from modelyard_evaluator.domain.errors import ChallengerBroken, NotMeasurable, Unreachable
from modelyard_evaluator.scoring.errors import BROKEN, UNREACHABLE, UNUSABLE
from modelyard_zygote import Handle, Zygote

POLL_S: Final = 0.05
WALL_SHARE: Final = 5.0
"""Wall-clock limit as a multiple of the CPU limit: a busy machine may slow a process this much."""
INHERITED_VARIABLES: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "TMPDIR",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
)
"""The only variables that a scoring process inherits: none of them holds a key."""
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
PRELOAD: Final = (
    "modelyard_flavours.preload",  # before pyarrow: preloading decides which packages are optional
    "modelyard_evaluator.scoring.clickhouse",
    "modelyard_evaluator.scoring.pin",
    "modelyard_evaluator.scoring.measure",
    "modelyard_evaluator.scoring.compare",
    "clickhouse_connect",
)


class OverLimit(Exception):
    """The process used more CPU time or memory than allowed."""


class ScorerFailed(Unreachable):
    """The process ended unexpectedly; another attempt may succeed."""

    code = "scorer_failed"


def scorer_zygote(idle_s: float) -> Zygote:
    """The parent of scoring processes: it holds their libraries, but never an artifact, a row or a key."""
    return Zygote(PRELOAD, idle_s=idle_s, env=_environment())


class ScorerProcesses:
    """Implements domain.ports.Scorer with one process per command and side."""

    def __init__(
        self,
        zygote: Zygote,
        clickhouse: Mapping[str, str],
        *,
        memory_limit_mib: float = 2_048.0,
        timeout_s: float = 120.0,
    ) -> None:
        """clickhouse: environment variables that `pin` connects with. timeout_s: CPU time of one process."""
        self._zygote, self._clickhouse = zygote, dict(clickhouse)
        self._memory_limit_mib, self._timeout_s = memory_limit_mib, timeout_s

    def warm(self) -> None:
        self._zygote.warm()

    def pin(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        return self._run_ours(folder, "pin", job, self._clickhouse)

    def measure(self, folder: Path, side: str) -> dict[str, Any]:
        try:
            return self._run(folder, "measure", {"side": side}, {})
        except (ChallengerBroken, OverLimit) as error:
            if side == "challenger":
                raise ChallengerBroken(str(error)) from error
            raise NotMeasurable(f"{side} cannot be scored: {error}") from error

    def compare(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        return self._run_ours(folder, "compare", job, {})

    def _run_ours(self, folder: Path, command: str, job: dict[str, Any], extra: Mapping[str, str]) -> dict[str, Any]:
        """Run a step that opens no artifact: exceeding a limit is no evidence against a version."""
        try:
            return self._run(folder, command, job, extra)
        except OverLimit as error:
            raise ScorerFailed(str(error)) from error

    def _run(self, folder: Path, command: str, job: dict[str, Any], extra: Mapping[str, str]) -> dict[str, Any]:
        (folder / f"{command}.job.json").write_text(json.dumps(job))
        (folder / f"{command}.json").unlink(missing_ok=True)
        log = folder / f"{command}.log"
        with log.open("wb") as stderr, Path(os.devnull).open("wb") as stdout:
            child = self._zygote.spawn(
                "modelyard_evaluator.scoring",
                [command, str(folder)],
                env=_environment() | dict(extra),
                stdout=stdout,
                stderr=stderr,
            )
        code = self._watch(child, command)
        if code == 0:
            result: dict[str, Any] = json.loads((folder / f"{command}.json").read_text())
            return result
        errors: dict[int, type[Exception]] = {
            BROKEN: ChallengerBroken,
            UNREACHABLE: Unreachable,
            UNUSABLE: NotMeasurable,
        }
        raise errors.get(code, ScorerFailed)(_last_line(log) or f"the scoring process ended with code {code}")

    def _watch(self, child: Handle, command: str) -> int:
        """Wait for the exit code. OverLimit if a limit was exceeded, ScorerFailed if the machine was too busy."""
        deadline = time.monotonic() + WALL_SHARE * self._timeout_s
        try:
            while (code := child.poll()) is None:
                self._check_limits(child.pid, command)
                if time.monotonic() > deadline:
                    raise ScorerFailed(f"{command} did not end within {WALL_SHARE * self._timeout_s:g} s")
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_S)
            return code
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()

    def _check_limits(self, pid: int, command: str) -> None:
        used_s, used_mib = _usage(pid)
        if used_s > self._timeout_s:
            raise OverLimit(f"{command} used more than {self._timeout_s:g} s of CPU time")
        if used_mib > self._memory_limit_mib:
            raise OverLimit(f"{command} used {used_mib:.0f} MiB; the limit is {self._memory_limit_mib:.0f}")


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ} | ONE_THREAD


def _usage(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MiB of a process; zeros if it has just ended."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return times.user + times.system, process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0, 0.0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
