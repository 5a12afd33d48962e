"""The registration of an uploaded model: how far it is, and what became of the version."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from modelyard import EvaluationRun, RolloutRun, VersionInfo
from modelyard.results.evaluator import TrialResult
from modelyard_console.domain import links
from modelyard_console.domain.formats import milliseconds, number, size, words
from modelyard_contracts.admission import Finding, ScanReport

WAITING: Final = "waiting"


class State(StrEnum):
    """State of a registration."""

    RUNNING = "running"
    REGISTERED = "registered"
    REFUSED = "refused"
    """By the scan of the registry; it is final."""
    FAILED = "failed"
    """It can be started again, and continues."""


class FileFinding(BaseModel):
    """A finding of the registry's scan."""

    model_config = ConfigDict(frozen=True)

    file: str
    finding: Finding


class Registration(BaseModel):
    """How far a registration is. text: the last progress, or why it ended."""

    model_config = ConfigDict(frozen=True)

    state: State = State.RUNNING
    text: str = ""
    version: int | None = None
    uploaded_bytes: int = 0
    skipped_bytes: int = 0
    findings: tuple[FileFinding, ...] = ()


@dataclass(frozen=True)
class Step:
    """A step with its state, a sentence, and where to read more."""

    title: str
    state: str
    text: str = ""
    link: str = ""


@dataclass(frozen=True)
class Progress:
    """What is known about the version. Parts of services that are away are None."""

    version: VersionInfo | None = None
    scan: ScanReport | None = None
    evaluation: EvaluationRun | None = None
    rollout: RolloutRun | None = None


def steps(found: Registration, known: Progress) -> tuple[Step, ...]:
    """The steps from the upload to the stage, in order."""
    return (_uploaded(found), _scanned(found, known), *_tried(known), _compared(known), _stage(found, known))


def _uploaded(found: Registration) -> Step:
    if found.state is State.REGISTERED:
        there = f"; {size(found.skipped_bytes)} were there already" if found.skipped_bytes else ""
        return Step("Uploaded", "succeeded", f"{size(found.uploaded_bytes)} sent to the registry{there}.")
    if found.state is State.REFUSED:
        return Step("Uploaded", "succeeded", "The registry has the files.")
    return Step("Uploaded", found.state, found.text)


def _scanned(found: Registration, known: Progress) -> Step:
    if found.state is State.REFUSED:
        return Step("Scanned", "rejected", found.text)
    if known.version is None or known.version.scan_verdict is None:
        return Step("Scanned", WAITING)
    version = known.version
    count = len(known.scan.findings) if known.scan else 0
    text = f"{count} finding{'s' if count != 1 else ''}." if known.scan else ""
    return Step("Scanned", str(version.scan_verdict), text, f"{links.version(version.model, version.version)}#scan")


def _tried(known: Progress) -> Iterator[Step]:
    """The trial on the example; a version that is compared without one has none."""
    evaluation = known.evaluation
    trial = evaluation.report.trial if evaluation and evaluation.report else None
    if trial is not None:
        yield Step("Tried on its example", _trial_state(trial), _trial_text(trial))
    elif evaluation is None or not evaluation.verdict:
        yield Step("Tried on its example", evaluation.stage if evaluation else WAITING)


def _trial_state(trial: TrialResult) -> str:
    if trial.outcome != "answered":
        return "inconclusive" if trial.outcome == "not_run" else "failed"
    return "failed" if trial.answers_equal is False else "succeeded"


def _trial_text(trial: TrialResult) -> str:
    if trial.outcome != "answered":
        return f"{words(trial.outcome)}: {trial.reason}"
    parts = [f"{number(trial.rows)} rows"]
    if trial.p50_ms is not None:
        parts.append(f"{milliseconds(trial.p50_ms)} (p50), {milliseconds(trial.p95_ms)} (p95)")
    if trial.memory_mib is not None:
        parts.append(f"at most {number(trial.memory_mib)} MiB")
    if trial.answers_equal is not None:
        parts.append("answers as recorded" if trial.answers_equal else f"answers differ: {trial.first_difference}")
    return f"{'; '.join(parts)}."


def _compared(known: Progress) -> Step:
    evaluation = known.evaluation
    if evaluation is None:
        return Step("Compared", WAITING)
    text = " ".join(evaluation.reasons) or evaluation.note or evaluation.reason
    link = links.evaluation(evaluation.evaluation_id)
    return Step("Compared", str(evaluation.verdict or evaluation.stage), text, link)


def _stage(found: Registration, known: Progress) -> Step:
    version, rollout = known.version, known.rollout
    if version is None:
        return Step("Stage", "rejected" if found.state is State.REFUSED else WAITING)
    stage = str(version.stage)
    if rollout is not None:
        return Step("Stage", stage, f"Rollout {words(rollout.state)}.", links.rollout(rollout.rollout_id))
    if version.stage == "evaluated":
        return Step("Stage", stage, "It waits for an approval.", links.approval(version.model, version.version))
    return Step("Stage", stage, "", links.version(version.model, version.version))
