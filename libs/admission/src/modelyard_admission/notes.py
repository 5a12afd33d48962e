"""Findings inside the scan process: plain values, so that the process starts in a tenth of a second.

The contracts' pydantic models take four times as long to import; `report` translates.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Deceptive, Malformed
from modelyard_admission.limits import Budget


class Verdict(IntEnum):
    """The contracts' `ScanVerdict`, from best to worst."""

    SAFE_FORMAT = 0
    ALLOW_LISTED = 1
    SUSPICIOUS = 2
    INCOMPLETE = 3
    MALICIOUS = 4


@dataclass(frozen=True, slots=True)
class Note:
    """One finding; the fields are those of the contracts' `Finding`."""

    rule: str
    verdict: Verdict
    message: str
    place: str | None = None
    remedy: str | None = None

    def inside(self, member: str) -> "Note":
        """The finding as the archive that holds `member` reports it."""
        return replace(self, place=member if self.place is None else f"{member} > {self.place}")


@dataclass(frozen=True, slots=True)
class FileResult:
    """Findings of one file. `path` has forward slashes and is relative to the scanned folder."""

    path: str
    size_bytes: int
    format: str
    verdict: Verdict
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """What a scanner needs besides the bytes."""

    name: str
    """Path of the file, or of the member of an archive."""
    budget: Budget
    nested: Callable[[Data, str], Iterable[Note]]
    """Scan the content of a member by its own format; the findings name the member."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of all files of the folder by path."""


Scanner = Callable[[Data, Job], Iterable[Note]]


def worst(verdicts: Iterable[Verdict], default: Verdict = Verdict.SAFE_FORMAT) -> Verdict:
    return max(verdicts, default=default)


def of_error(error: Malformed, rule: str) -> Note:
    """The finding of a file that could not be read to the end."""
    verdict = Verdict.MALICIOUS if isinstance(error, Deceptive) else Verdict.INCOMPLETE
    return Note(rule, verdict, str(error), error.place)


def failing_closed(scanner: Scanner, data: Data, job: Job, rule: str) -> Iterator[Note]:
    """Findings of a scanner; whatever goes wrong in it is a finding too, never a pass."""
    try:
        yield from scanner(data, job)
    except Malformed as error:
        yield of_error(error, rule)
    except MemoryError:
        yield Note(rule, Verdict.INCOMPLETE, "the scan ran out of memory")
    except Exception as error:  # a scanner's own mistake must not let a file pass
        yield Note(rule, Verdict.INCOMPLETE, f"the scanner failed: {type(error).__name__}: {error}"[:300])
