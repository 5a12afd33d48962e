"""Limits and result of a trial."""

from dataclasses import dataclass
from enum import StrEnum

from modelyard_contracts.example import ExampleAnswer
from modelyard_contracts.messages.base import Part


@dataclass(frozen=True)
class TrialLimits:
    """Bounds of one trial. The process is ended when it exceeds one."""

    seconds: float = 120.0
    """Wall-clock time, including the import of libraries and the load."""
    memory_mib: int = 4_096
    """Private memory; mapped files are not counted."""
    scratch_mib: int = 256
    """Files that the version writes."""
    measure_s: float = 2.0
    """Time for repeating single rows, after each row was answered once."""
    allow_unconfined: bool = False
    """Try versions that others made even where this machine cannot confine a process."""


class TrialOutcome(StrEnum):
    """Result of a trial, for decisions; `reason` explains it."""

    ANSWERED = "answered"
    """Every row has a usable answer; `answers_equal` compares them with the recorded ones."""
    FAILED = "failed"
    """The version cannot be loaded, raised an error, crashed, or gave answers that cannot be used."""
    OVER_LIMIT = "over_limit"
    """It exceeded a limit of time, memory or disk."""
    NOT_RUN = "not_run"
    """This machine cannot try it, such as without a library; no evidence about the version."""


class TrialReport(Part):
    """Observations of one trial."""

    outcome: TrialOutcome
    reason: str = ""
    """Empty if the version answered."""
    confined_by: tuple[str, ...] = ()
    """Restrictions of the process, such as `landlock 7` and `seccomp`; empty where the machine has none."""
    refused: tuple[str, ...] = ()
    """Calls outside of the confinement that the version's Python code made, such as `socket.connect (predict.py:7)`."""
    load_s: float | None = None
    """From the start of the load to the answer to the warm-up row."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    """Latency of single rows."""
    rows: int = 0
    """Rows of the example that were answered."""
    peak_rss_mib: float | None = None
    answers: tuple[ExampleAnswer, ...] = ()
    answers_equal: bool | None = None
    """Whether all answers equal the recorded ones within the example's tolerance; None if none were recorded."""
    first_difference: str = ""

    @property
    def passed(self) -> bool:
        """Whether the version answered, and as recorded."""
        return self.outcome is TrialOutcome.ANSWERED and self.answers_equal is not False
