"""False alarms and detection delays of the detectors, simulated on models that the recipes train on Elec2.

    python services/monitor/benchmarks/false_alarms.py --help

Rows of Elec2 are drawn at random from two halves, one for training and one for traffic, so that traffic has no drift
but the one that the simulation makes. `learns=no` are the thresholds without normal variation, as before decision 0082.
"""

import argparse
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.demo.data import Stream, load
from modelyard_contracts import DriftDetected, DriftKind, Severity
from modelyard_contracts.manifest import FileEntry, ModelManifest, TrainingLineage
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Column, Output, Signature, Task, new_schema_id
from modelyard_flavours import Predictor, predictor_of
from modelyard_monitor.domain.evidence import event_of
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState
from modelyard_monitor.testing.samples import START
from modelyard_monitor.testing.streams import DIGEST, Rows, Served
from modelyard_trainer.domain.policy import Facts, refuse
from modelyard_trainer.domain.recipes import RegressorParameters, TabularParameters
from modelyard_trainer.domain.split import split_rows
from modelyard_trainer.recipes.estimators import fit_tabular
from modelyard_trainer.worker.manifest import reference_of, watched_score
from modelyard_trainer.worker.work import Rows as Labelled
from modelyard_trainer.worker.work import Trained, Work

Ints = NDArray[np.int64]
MODELS: Final = (
    *(("binary", name) for name in ("logistic", "boosting", "boosting-recent", "extra-trees")),
    *(("regression", name) for name in ("linear", "boosting", "extra-trees")),
)
TRAIN_ROWS: Final = 4_000
HELD_OUT: Final = 500
SHIFT_AT: Final = 20_000
QUIET: Final = Facts(None, None, 0, None)


@dataclass(frozen=True)
class Pool:
    """Rows to draw from. numbers: shape (rows, features); classes and values: shape (rows,), the targets."""

    names: tuple[str, ...]
    numbers: NDArray[np.float64]
    classes: Ints
    values: NDArray[np.float64]
    by_hour: Ints
    """Positions of the rows, ordered by the time of day."""


def pools(stream: Stream, rng: np.random.Generator) -> tuple[Pool, Pool]:
    """Two random halves of the stream. Demand is the target of a regression, and a feature of nothing else."""
    names = tuple(name for name in stream.numeric if name != "nsw_demand")
    kept = [stream.numeric.index(name) for name in names]
    order, half = rng.permutation(stream.rows), stream.rows // 2
    classes = np.array([stream.classes.index(str(label)) for label in stream.labels])
    demand = stream.numbers[:, stream.numeric.index("nsw_demand")]

    def pool(rows: Ints) -> Pool:
        numbers = stream.numbers[rows][:, kept]
        by_hour = np.argsort(numbers[:, names.index("period")], kind="stable")
        return Pool(names, numbers, classes[rows], demand[rows], by_hour)

    return pool(order[:half]), pool(order[half:])


def independent(pool: Pool, count: int, rng: np.random.Generator) -> Ints:
    """Rows drawn at random."""
    return rng.integers(0, len(pool.classes), count)


def bursts(pool: Pool, count: int, rng: np.random.Generator) -> Ints:
    """The same row again, ten times on average: requests of one entity."""
    return np.repeat(independent(pool, count, rng), rng.geometric(0.1, count))[:count]


def daily(day_rows: int) -> Callable[[Pool, int, np.random.Generator], Ints]:
    """Rows from a moving half of the day."""

    def draw(pool: Pool, count: int, rng: np.random.Generator) -> Ints:
        size = len(pool.by_hour)
        centre = (np.arange(count) / day_rows) % 1.0
        place = (centre + rng.uniform(-0.25, 0.25, count)) % 1.0
        return pool.by_hour[(place * size).astype(np.int64)]

    return draw


TRAFFIC: Final[dict[str, Callable[[Pool, int, np.random.Generator], Ints]]] = {
    "independent": independent,
    "bursts of ten": bursts,
    "day of 1,000 rows": daily(1_000),
    "day of 4,000 rows": daily(4_000),
}


@dataclass(frozen=True)
class Model:
    """A trained version and what it was trained on."""

    task: Task
    predictor: Predictor
    manifest: ModelManifest
    names: tuple[str, ...]


def trained(task: Task, name: str, pool: Pool, drawn: Ints, seed: int) -> Model:
    """Fit a recipe's candidate on the rows, and write its manifest as the trainer does."""
    output = Output(task=task, classes=() if task is Task.REGRESSION else ("DOWN", "UP"))
    signature = Signature(columns=tuple(Column(name=one) for one in pool.names), output=output)
    targets = pool.values if task is Task.REGRESSION else pool.classes
    empty, times = np.empty((len(drawn), 0), dtype=object), np.zeros(len(drawn), dtype="datetime64[us]")
    rows = Labelled(pool.numbers[drawn], empty, targets[drawn], times)
    split = split_rows(len(drawn), HELD_OUT)
    parameters = (RegressorParameters if task is Task.REGRESSION else TabularParameters)(seed=seed)
    fitted = fit_tabular(name, parameters, rows.part(0, split.used), signature)
    predictor = predictor_of(fitted.flavour, fitted.model)
    held = rows.part(split.used, split.rows)
    outputs = predictor.predict(held.numeric, held.categorical)
    work = Work(rows, split, signature, parameters, Path(), 1, lambda *_: None)
    manifest = ModelManifest(
        model="m",
        task=task,
        flavour=fitted.flavour,
        files=(FileEntry(path="m", digest=DIGEST, size_bytes=1),),
        signature=signature,
        feature_schema_id=new_schema_id(signature),
        reference=reference_of(work, Trained(fitted.flavour, None, outputs, "")),
        training=TrainingLineage(recipe="simulation"),
    )
    return Model(task, predictor, manifest, pool.names)


def answered(model: Model, numbers: NDArray[np.float64], classes: Ints, values: NDArray[np.float64]) -> Rows:
    """The rows with the model's answers and errors."""
    outputs = model.predictor.predict(numbers, np.empty((len(numbers), 0), dtype=object))
    columns = {name: numbers[:, place] for place, name in enumerate(model.names)}
    if model.task is Task.REGRESSION:
        return Rows(columns, outputs[:, 0], None, np.abs(outputs[:, 0] - values))
    predicted = outputs.argmax(axis=1)
    names = np.array(model.manifest.signature.classes, dtype=object)[predicted]
    return Rows(columns, watched_score(outputs), names, (predicted != classes).astype(float))


Shift = Callable[[Pool, Ints, NDArray[np.bool_], np.random.Generator], tuple[NDArray[np.float64], Ints, Any]]


def _taken(pool: Pool, drawn: Ints) -> tuple[NDArray[np.float64], Ints, NDArray[np.float64]]:
    return pool.numbers[drawn].copy(), pool.classes[drawn].copy(), pool.values[drawn].copy()


def other_rows(pool: Pool, drawn: Ints, after: NDArray[np.bool_], rng: np.random.Generator) -> Any:
    """Rows of the dearest third of the market only."""
    price = pool.numbers[:, pool.names.index("nsw_price")]
    dear = np.flatnonzero(price > np.quantile(price, 0.66))
    drawn = np.where(after, rng.choice(dear, len(drawn)), drawn)
    return _taken(pool, drawn)


def one_feature(pool: Pool, drawn: Ints, after: NDArray[np.bool_], rng: np.random.Generator) -> Any:
    """One input up by a standard deviation."""
    numbers, classes, values = _taken(pool, drawn)
    place = pool.names.index("nsw_price")
    numbers[after, place] += pool.numbers[:, place].std()
    return numbers, classes, values


def other_labels(pool: Pool, drawn: Ints, after: NDArray[np.bool_], rng: np.random.Generator) -> Any:
    """Four rows of five from class UP, or from the upper half of the values."""
    upper = np.flatnonzero(pool.classes == 1)
    drawn = np.where(after & (rng.random(len(drawn)) < 0.66), rng.choice(upper, len(drawn)), drawn)
    return _taken(pool, drawn)


def other_concept(pool: Pool, drawn: Ints, after: NDArray[np.bool_], rng: np.random.Generator) -> Any:
    """Three of ten labels flipped; values a tenth larger."""
    numbers, classes, values = _taken(pool, drawn)
    flip = after & (rng.random(len(drawn)) < 0.3)
    return numbers, np.where(flip, 1 - classes, classes), np.where(after, values + 0.5 * pool.values.std(), values)


SHIFTS: Final[dict[str, tuple[Shift, int]]] = {
    "other rows, abrupt": (other_rows, 1),
    "other rows, over 5,000": (other_rows, 5_000),
    "one feature": (one_feature, 1),
    "other label shares": (other_labels, 1),
    "other concept": (other_concept, 1),
}
"""Shift, and rows over which its share grows from none to all."""


def events(model: Model, rows: Rows, rules: Rules, delay: int, labels: bool) -> Iterator[tuple[int, DriftDetected]]:
    """Drift events of a stream, with the rows seen before each."""
    state = ModelState()
    stream = rows if labels else Rows(rows.numbers, rows.score, rows.classes, None)
    seen = 0
    for piece in Served(model.manifest, label_delay_rows=delay).slices(stream):
        seen += piece.rows if piece.features else 0
        for found in apply(state.of(piece), piece, model.manifest, rules, state.errors_before(piece), state.labels):
            event = event_of(found, piece, model.manifest, "db")
            if isinstance(event, DriftDetected):
                yield seen, event


def is_loud(event: DriftDetected, learns: bool) -> bool:
    """Whether the event is more than information; before, every drift of an output was."""
    return event.severity is not Severity.INFO or (not learns and event.kind is not DriftKind.FEATURE)


def starts_run(event: DriftDetected, learns: bool) -> bool:
    """Whether the default policy starts a run for the event, as far as the event decides it."""
    if not learns:
        return event.kind.value in RetrainPolicy().kinds
    return refuse(event, RetrainPolicy(), QUIET, START) is None


def in_control(options: argparse.Namespace, stream: Stream) -> None:
    """Print the alarms of every traffic, summed over models and seeds."""
    labelled = "late" if options.no_labels else "240 rows late"
    print(f"alarms in control; windows of 500 rows, labels {'none' if options.no_labels else labelled}")
    print(f"{'traffic':20} learns windows  alarms  of them  info   runs  models with runs")
    for traffic in options.traffic:
        for learns in (False, True):
            counts: Counter[str] = Counter()
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                rng = np.random.default_rng([seed, list(TRAFFIC).index(traffic)])
                first, second = pools(stream, rng)
                drawn, live = TRAFFIC[traffic](first, TRAIN_ROWS, rng), TRAFFIC[traffic](second, options.rows, rng)
                for task, name in MODELS:
                    model = trained(Task(task), name, first, drawn, seed)
                    rows = answered(model, *_taken(second, live))
                    _count(counts, model, rows, learns, options)
            by_kind = {str(kind): counts[str(kind)] for kind in DriftKind if counts[str(kind)]}
            alarmed = f"{counts['models']:4} of {options.seeds * len(MODELS)}"
            print(
                f"{traffic:20} {'yes' if learns else 'no':6} {counts['windows']:7} {counts['alarms']:7} "
                f"{by_kind} {counts['info']:5} {counts['runs']:6} {alarmed}",
                flush=True,
            )


def _count(counts: Counter[str], model: Model, rows: Rows, learns: bool, options: argparse.Namespace) -> None:
    found = [
        event
        for _, event in events(
            model,
            rows,
            Rules(learns=learns, errors_in_bursts=learns and options.errors_in_bursts),
            240,
            not options.no_labels,
        )
    ]
    loud = [event for event in found if is_loud(event, learns)]
    runs = sum(starts_run(event, learns) for event in loud)
    counts["windows"] += len(rows) // 500
    counts["alarms"] += len(loud)
    counts["info"] += len(found) - len(loud)
    counts["runs"] += runs
    counts["models"] += runs > 0
    counts.update(str(event.kind) for event in loud)


def delays(options: argparse.Namespace, stream: Stream) -> None:
    """Print how many rows after a shift the first event and the first run come."""
    print("rows from a shift to the first event, median and largest over models and seeds; labels 240 rows late")
    for name, (shift, grows) in SHIFTS.items():
        for learns in (False, True):
            first, runs, missed = [], [], 0
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                rng = np.random.default_rng([seed, 99])
                one, other = pools(stream, rng)
                drawn = independent(one, TRAIN_ROWS, rng)
                live = independent(other, SHIFT_AT + 20_000, rng)
                after = rng.random(len(live)) < np.clip((np.arange(len(live)) - SHIFT_AT) / grows, 0.0, 1.0)
                moved = shift(other, live, after, rng)
                for task, candidate in MODELS:
                    model = trained(Task(task), candidate, one, drawn, seed)
                    found = list(
                        events(
                            model,
                            answered(model, *moved),
                            Rules(learns=learns, errors_in_bursts=learns and options.errors_in_bursts),
                            240,
                            labels=True,
                        )
                    )
                    late = [(seen, event) for seen, event in found if seen > SHIFT_AT]
                    missed += not late
                    first += [seen - SHIFT_AT for seen, _ in late[:1]]
                    runs += [seen - SHIFT_AT for seen, event in late if starts_run(event, learns)][:1]
            delays = f"{statistics.median(first):6.0f} {max(first):6}" if first else "     -      -"
            started = f"{statistics.median(runs):6.0f}" if runs else "     -"
            print(
                f"{name:24} learns={'yes' if learns else 'no':4} {delays}  missed {missed:2} of "
                f"{options.seeds * len(MODELS)}; first run {started}, {len(runs)} models",
                flush=True,
            )


def elec2(options: argparse.Namespace, stream: Stream) -> None:
    """Print the alarms on Elec2 in the order of time, and which runs were followed by a gain.

    A run trains on the newest 4,000 labelled rows and takes no time; its version serves from there on. A gain is a
    higher accuracy than the version before over the next 2,000 rows, by more than a point.
    """
    print("learns  alarms of them; runs and gains by kind")
    for learns in (False, True):
        alarms, runs, gains = Counter[str](), Counter[str](), Counter[str]()
        right = seen = 0
        for start, stop, model, event in _loop(stream, learns, alarms, options):
            rows = answered(model, *_taken_in_order(stream, start, stop))
            right, seen = right + len(rows) - int(_wrong(rows)), seen + len(rows)
            if event is None:
                continue
            runs[str(event.kind)] += 1
            ahead = _taken_in_order(stream, stop, min(stop + 2_000, stream.rows))
            old, new = answered(model, *ahead), answered(_version(stream, stop), *ahead)
            gains[str(event.kind)] += _wrong(new) < _wrong(old) - 0.01 * len(new)
        found = f"{dict(alarms)}; runs {dict(runs)}, with a gain {dict(gains)}"
        print(f"{'yes' if learns else 'no':6} {found}; accuracy {right / seen:.4f}", flush=True)


def _wrong(rows: Rows) -> float:
    return float(rows.errors.sum()) if rows.errors is not None else 0.0


def _loop(
    stream: Stream, learns: bool, alarms: Counter[str], options: argparse.Namespace
) -> Iterator[tuple[int, int, Model, DriftDetected | None]]:
    """Yield the rows [start, stop) that a version served, and the event whose run replaced it."""
    start = stream.rows // 10
    while start < stream.rows:
        model, ended = _version(stream, start), None
        rows = answered(model, *_taken_in_order(stream, start, min(start + 12_000, stream.rows)))
        for seen, event in events(
            model, rows, Rules(learns=learns, errors_in_bursts=learns and options.errors_in_bursts), 240, labels=True
        ):
            alarms[str(event.kind)] += is_loud(event, learns)
            if seen >= 1_000 and starts_run(event, learns):
                ended = start + seen, event
                break
        stop = ended[0] if ended else start + len(rows)
        yield start, stop, model, ended[1] if ended else None
        start = stop


def _version(stream: Stream, at: int) -> Model:
    """A version trained on the newest labelled rows at a row."""
    pool = Pool(stream.numeric, *_taken_in_order(stream, 0, at), by_hour=np.empty(0, dtype=np.int64))
    return trained(Task.BINARY, "boosting", pool, np.arange(max(0, at - 240 - TRAIN_ROWS), at - 240), 0)


def _taken_in_order(stream: Stream, start: int, stop: int) -> tuple[NDArray[np.float64], Ints, NDArray[np.float64]]:
    classes = np.array([stream.classes.index(str(label)) for label in stream.labels[start:stop]])
    return stream.numbers[start:stop], classes, classes.astype(float)


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("control", "delays", "elec2"))
    parser.add_argument("--rows", type=int, default=60_000, help="rows of traffic per model, in control")
    parser.add_argument("--seeds", type=int, default=2, help="repetitions with other rows")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--traffic", nargs="+", choices=list(TRAFFIC), default=list(TRAFFIC))
    parser.add_argument("--errors-in-bursts", action="store_true", help="take errors as correlated where learns=yes")
    parser.add_argument("--no-labels", action="store_true", help="no labels arrive")
    parser.add_argument(
        "--cache", type=Path, default=Path(".modelyard/cache"), help="where Elec2 is downloaded to, once"
    )
    options = parser.parse_args()
    stream = load(None, options.cache)
    {"control": in_control, "delays": delays, "elec2": elec2}[options.what](options, stream)


if __name__ == "__main__":
    main()
