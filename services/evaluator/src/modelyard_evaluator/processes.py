"""The scorer's processes, run under limits of time and memory."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from modelyard_evaluator.domain.ports import Away, ChallengerBroken, Refused
from modelyard_evaluator.scorer.errors import AWAY, BROKEN, REFUSED
from modelyard_zygote import Handle, Zygote

POLL_S: Final = 0.05
WALL_SHARE: Final = 5.0
"""Time on the clock over processor time: a busy machine slows a process five times before we doubt the process."""
KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH")
"""All that an artifact's process gets of our environment: no key is among them."""
QUIET: Final = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
PRELOAD: Final = (
    "modelyard_flavours.preload",  # before pyarrow, which it would take for needed
    "modelyard_evaluator.scorer.pin",
    "modelyard_evaluator.scorer.measure",
    "modelyard_evaluator.scorer.compare",
    "clickhouse_connect",
)


class OverLimit(Exception):
    """The process took more time or memory than it may."""


class ScorerFailed(Away):
    """It ended in a way that nobody foresaw; perhaps another try goes better."""


def scorer_zygote(idle_s: float) -> Zygote:
    """The parent of the scorer's processes: it has their libraries, and never had an artifact, a row or a key."""
    return Zygote(PRELOAD, idle_s=idle_s, env=_environment())


class ScorerProcesses:
    """`python -m modelyard_evaluator.scorer`, one process per word and side, one after another."""

    def __init__(
        self,
        zygote: Zygote,
        clickhouse: Mapping[str, str],
        *,
        memory_limit_mib: float = 2_048.0,
        timeout_s: float = 120.0,
    ) -> None:
        self._zygote, self._clickhouse = zygote, dict(clickhouse)
        self._memory_limit_mib, self._timeout_s = memory_limit_mib, timeout_s

    def warm(self) -> None:
        self._zygote.warm()

    def pin(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._run(folder, "pin", job, self._clickhouse)
        except OverLimit as error:
            raise ScorerFailed(str(error)) from error

    def measure(self, folder: Path, side: str) -> dict[str, Any]:
        try:
            return self._run(folder, "measure", {"side": side}, {})
        except (ChallengerBroken, OverLimit) as error:
            if side == "challenger":
                raise ChallengerBroken(str(error)) from error
            raise Refused(f"{side} cannot be scored: {error}") from error

    def compare(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        return self._run(folder, "compare", job, {})

    def _run(self, folder: Path, word: str, job: dict[str, Any], more: Mapping[str, str]) -> dict[str, Any]:
        (folder / f"{word}.job.json").write_text(json.dumps(job))
        (folder / f"{word}.json").unlink(missing_ok=True)
        log = folder / f"{word}.log"
        with log.open("wb") as stderr, Path(os.devnull).open("wb") as stdout:
            child = self._zygote.spawn(
                "modelyard_evaluator.scorer",
                [word, str(folder)],
                env=_environment() | dict(more),
                stdout=stdout,
                stderr=stderr,
            )
        code = self._watch(child, word)
        if code == 0:
            result: dict[str, Any] = json.loads((folder / f"{word}.json").read_text())
            return result
        said = _last_line(log)
        kinds: dict[int, type[Exception]] = {BROKEN: ChallengerBroken, AWAY: Away, REFUSED: Refused}
        raise kinds.get(code, ScorerFailed)(said or f"the scorer's process ended with {code}")

    def _watch(self, child: Handle, word: str) -> int:
        """Its exit code. OverLimit when it used too much, ScorerFailed when the machine was too busy to tell."""
        until = time.monotonic() + WALL_SHARE * self._timeout_s
        try:
            while (code := child.poll()) is None:
                used_s, used_mib = _used(child.pid)
                if used_s > self._timeout_s:
                    raise OverLimit(f"{word} worked longer than {self._timeout_s:g} s")
                if used_mib > self._memory_limit_mib:
                    raise OverLimit(f"{word} took {used_mib:.0f} MiB; at most {self._memory_limit_mib:.0f} are allowed")
                if time.monotonic() > until:
                    raise ScorerFailed(f"{word} did not end within {WALL_SHARE * self._timeout_s:g} s")
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_S)
            return code
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | QUIET


def _used(pid: int) -> tuple[float, float]:
    """Seconds of processor time and MiB of resident memory; zeros when it is just gone."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return times.user + times.system, process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0, 0.0


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
