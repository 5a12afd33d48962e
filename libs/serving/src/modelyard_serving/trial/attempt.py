"""The trial itself, in the confined process: load, answer the example, repeat single rows."""

import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_contracts.example import ExampleAnswer
from modelyard_contracts.signature import Task
from modelyard_flavours import MissingExtra, ProviderError
from modelyard_serving.errors import Unloadable
from modelyard_serving.examples import inputs_of, read_example
from modelyard_serving.lanes import Floats, Inputs
from modelyard_serving.loading import LoadedModel, load, through
from modelyard_serving.trial.answers import answers_of, first_difference, unusable
from modelyard_serving.trial.report import TrialOutcome, TrialReport

MIN_REPEATS: Final = 20
MAX_TOKENS: Final = 32
"""Length of a generated text."""
MAX_TEXTS: Final = 3
"""Texts of the example that a generator answers, and repeats: one takes seconds."""


ABOUT_THE_MODEL: Final = frozenset({"provider_refused", "provider_bad_answer"})
"""Codes of a provider's errors that another try would not change."""


class _Stopped(Exception):
    """The trial ends here; carries the outcome and the reason."""

    def __init__(self, outcome: TrialOutcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True)
class _Latency:
    p50_ms: float
    p95_ms: float


def attempt(folder: Path, measure_s: float, connection: Path | None = None) -> TrialReport:
    """Try the version in `folder`. Every failure is a report; MemoryError too. connection: see run_trial."""
    started = time.perf_counter()
    try:
        model = _loaded(folder, connection)
        load_s = time.perf_counter() - started
        return _answered(model, folder, measure_s).model_copy(update={"load_s": load_s, "peak_rss_mib": peak_rss_mib()})
    except _Stopped as stopped:
        return TrialReport(outcome=stopped.outcome, reason=str(stopped), peak_rss_mib=peak_rss_mib())


def peak_rss_mib() -> float:
    """Peak resident memory of this program in MiB.

    Linux keeps `ru_maxrss` over an exec, so it would count the memory of the parent process; `VmHWM` starts anew.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:  # Not Linux: there `ru_maxrss` is all there is, in bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    peak_kib = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(peak_kib[1]) / 1024 if peak_kib else 0.0


def _loaded(folder: Path, connection: Path | None) -> LoadedModel:
    try:
        return load(folder, "0", through(connection))
    except Unloadable as error:
        raise _Stopped(_outcome(error), str(error)) from error


def _outcome(error: Exception) -> TrialOutcome:
    causes = {type(error.__cause__), type(error)}
    if MemoryError in causes:
        return TrialOutcome.OVER_LIMIT
    return TrialOutcome.NOT_RUN if MissingExtra in causes else TrialOutcome.FAILED


def _answered(model: LoadedModel, folder: Path, measure_s: float) -> TrialReport:
    example = read_example(model.manifest, folder)
    if example is None:
        return TrialReport(outcome=TrialOutcome.ANSWERED)
    inputs = inputs_of(model.manifest, example)
    if model.remote:
        return _called_once(model, Inputs(inputs.numeric[:1], inputs.categorical[:1]))
    if model.signature.task is Task.TEXT:
        inputs = Inputs(inputs.numeric[:MAX_TEXTS], inputs.categorical[:MAX_TEXTS])
    answers = _texts(model, inputs) if model.signature.task is Task.TEXT else _scored(model, inputs)
    latency = _latency(model, inputs, measure_s)
    difference = first_difference(example, answers) if example.answers else ""
    return TrialReport(
        outcome=TrialOutcome.ANSWERED,
        p50_ms=latency.p50_ms,
        p95_ms=latency.p95_ms,
        rows=inputs.rows,
        answers=() if model.signature.task is Task.EMBEDDING else answers,  # vectors would be most of the report
        answers_equal=not difference if example.answers else None,
        first_difference=difference,
    )


def _called_once(model: LoadedModel, row: Inputs) -> TrialReport:
    """One call of a provider: it costs money, and its answers are not the same every time."""
    started = time.perf_counter()
    answers = _texts(model, row) if model.signature.task is Task.TEXT else _scored(model, row)
    taken_ms = (time.perf_counter() - started) * 1000
    shown = answers if model.signature.task is Task.TEXT else ()
    return TrialReport(outcome=TrialOutcome.ANSWERED, p50_ms=taken_ms, p95_ms=taken_ms, rows=1, answers=shown)


def _scored(model: LoadedModel, inputs: Inputs) -> tuple[ExampleAnswer, ...]:
    scores = _predict(model, inputs)
    if reason := unusable(scores, inputs.rows, model.signature.width):
        raise _Stopped(TrialOutcome.FAILED, reason)
    return answers_of(model.signature, scores)


def _predict(model: LoadedModel, inputs: Inputs) -> Floats:
    try:
        scores = np.asarray(model.predictor.predict(inputs.numeric, inputs.categorical), dtype=np.float64)
    except MemoryError as error:
        raise _Stopped(TrialOutcome.OVER_LIMIT, "the version needs more memory than the trial allows") from error
    except Exception as error:
        raise _stopped(error) from error
    return scores[:, None] if scores.ndim == 1 else scores


def _texts(model: LoadedModel, inputs: Inputs) -> tuple[ExampleAnswer, ...]:
    return tuple(ExampleAnswer(label=_generated(model, text)) for text in inputs.categorical[:, 0])


def _generated(model: LoadedModel, text: Any) -> str:
    try:
        return "".join(model.generator.generate(text or "", {"max_tokens": MAX_TOKENS}))
    except Exception as error:
        raise _stopped(error) from error


def _stopped(error: Exception) -> _Stopped:
    """A provider that is down, busy or does not accept the key is no evidence about the version."""
    if isinstance(error, ProviderError):
        outcome = TrialOutcome.FAILED if error.code in ABOUT_THE_MODEL else TrialOutcome.NOT_RUN
        return _Stopped(outcome, str(error))
    return _Stopped(TrialOutcome.FAILED, f"{type(error).__name__}: {error}")


def _latency(model: LoadedModel, inputs: Inputs, measure_s: float) -> _Latency:
    """Latency of single rows, in turn: MIN_REPEATS at least, of texts MAX_TEXTS, then until `measure_s` have passed."""
    durations: list[float] = []
    least = MAX_TEXTS if model.signature.task is Task.TEXT else MIN_REPEATS
    ends = time.perf_counter() + measure_s
    while len(durations) < least or time.perf_counter() < ends:
        row = len(durations) % inputs.rows
        started = time.perf_counter()
        _ask(model, Inputs(inputs.numeric[row : row + 1], inputs.categorical[row : row + 1]))
        durations.append(time.perf_counter() - started)
    p50, p95 = np.quantile(durations, (0.5, 0.95)) * 1000
    return _Latency(float(p50), float(p95))


def _ask(model: LoadedModel, row: Inputs) -> None:
    if model.signature.task is Task.TEXT:
        _generated(model, row.categorical[0, 0])
    else:
        _predict(model, row)
