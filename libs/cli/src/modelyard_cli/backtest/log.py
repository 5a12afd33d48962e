"""The rows that a model has answered, from the platform's own log, with the labels that arrived for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from modelyard import ApiError
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import MIN_ROWS, Stream, check_first_rows, model_name
from modelyard_cli.demo.times import gap_notes
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.signature import Signature, Task
from modelyard_contracts.usable import labelled_rows

MAX_ROWS: Final = 500_000
"""Rows that are sent one by one; a longer log needs --from and --to."""
_ANSWERED: Final = """
SELECT uniqExact(prediction_id) AS answered,
    uniqExactIf(prediction_id, ifNull(feature_schema_id, '') != {signature_id:String}) AS other_signature
FROM predictions
WHERE model = {model:String} AND status = 'ok' AND variant != 'shadow'
    AND occurred_at >= {since:DateTime64(6, 'UTC')} AND occurred_at < {until:DateTime64(6, 'UTC')}"""
_LABELLED: Final = """
FROM v_labelled
WHERE model = {model:String}
    AND predicted_at >= {since:DateTime64(6, 'UTC')} AND predicted_at < {until:DateTime64(6, 'UTC')}"""
_REASONS: Final = {
    "unlabelled": "rows without a label",
    "other_signature": "rows of versions with other columns",
    "unusable": "rows whose features or label cannot be used",
}


@dataclass(frozen=True)
class Period:
    """Rows answered from `since` on, before `until`."""

    since: datetime
    until: datetime

    def parameters(self) -> dict[str, str]:
        """As ClickHouse takes them."""
        bounds = {"since": self.since, "until": self.until}
        return {name: moment.strftime("%Y-%m-%d %H:%M:%S.%f") for name, moment in bounds.items()}


def read_log(platform: Platform, model: str, period: Period) -> Stream:
    """Labelled rows of a model in order of time, with the times at which their labels became known.

    The rows have the columns of the version that serves now. Rows without a label, of another signature, or that
    cannot be used are counted in the notes. StackError if the model cannot be replayed, or the rows are too few.
    """
    signature_id, signature = _signature(platform, model)
    conditions = labelled_rows({signature_id: signature})
    where = f"{_LABELLED} AND {conditions.labelled}"
    parameters = {"model": model, "signature_id": signature_id, **period.parameters(), **conditions.parameters}
    [counts] = platform.query(_ANSWERED, parameters)
    [labelled] = platform.query(
        f"SELECT count() AS labelled, countIf({conditions.usable}) AS usable {where}", parameters
    )
    left_out = {
        "unlabelled": counts["answered"] - counts["other_signature"] - labelled["labelled"],
        "other_signature": counts["other_signature"],
        "unusable": labelled["labelled"] - labelled["usable"],
    }
    _check(model, period, labelled["usable"], left_out)
    found = platform.arrow(
        f"SELECT num_features, cat_features, {conditions.truth} AS truth, toUnixTimestamp64Micro(predicted_at) AS at, "
        f"toUnixTimestamp64Micro(labelled_at) AS known_at {where} AND {conditions.usable} "
        "ORDER BY predicted_at, prediction_id",
        parameters,
    )
    stream = _stream(model, signature, found, tuple(_described(left_out)))
    check_first_rows(stream, f"model {model}")
    return stream


def _signature(platform: Platform, model: str) -> tuple[str, Signature]:
    """Id and signature of the version that serves."""
    try:
        champion = platform.registry.alias(model, "champion")
        if champion is None:
            raise StackError(f"--model {model}: no version serves, so its stored rows have no columns")
        manifest = platform.registry.manifest_file(model, champion.version).manifest
    except ApiError as error:
        raise StackError(f"--model {model}: {error}") from error
    signature = manifest.signature
    if signature.input != "columns" or signature.task is Task.TEXT:
        raise StackError(f"--model {model}: takes or answers texts; a backtest needs named columns and a label")
    return manifest.feature_schema_id, signature


def _check(model: str, period: Period, rows: int, left_out: Mapping[str, int]) -> None:
    window = f"from {period.since:%Y-%m-%dT%H:%M:%SZ} to {period.until:%Y-%m-%dT%H:%M:%SZ}"
    if rows < MIN_ROWS:  # before the classes are looked at: no rows have no classes
        why = "; ".join(_described(left_out))
        raise StackError(
            f"--model {model}: {rows:,} labelled rows {window}, at least {MIN_ROWS:,} are needed; take a longer period "
            f"with --from and --to{f' ({why})' if why else ''}"
        )
    if rows > MAX_ROWS:
        raise StackError(
            f"--model {model}: {rows:,} labelled rows {window}, at most {MAX_ROWS:,} can be replayed; take a shorter "
            "period with --from and --to"
        )


def _described(left_out: Mapping[str, int]) -> list[str]:
    return [f"left out {count:,} {_REASONS[reason]}" for reason, count in left_out.items() if count > 0]


def _stream(model: str, signature: Signature, found: Any, notes: tuple[str, ...]) -> Stream:
    truth = found["truth"].to_pylist()
    times = found["at"].to_numpy() / 1e6
    numbers = _lists(found["num_features"], len(signature.numeric)).astype(np.float64)
    return Stream(
        name=model_name(model),
        target=signature.target,
        numeric=signature.numeric,
        categorical=signature.categorical,
        numbers=np.where(np.isfinite(numbers), numbers, np.nan),
        words=_lists(found["cat_features"], len(signature.categorical)),
        labels=np.array(truth, dtype=object),
        classes=_classes(signature, set(truth)) if signature.task.classifies else (),
        times=times,
        label_times=np.maximum(found["known_at"].to_numpy() / 1e6, times),
        notes=(*notes, *gap_notes(times)),
    )


def _lists(column: Any, width: int) -> Any:
    """Shape (rows, width)."""
    flat = np.array(column.combine_chunks().flatten().to_pylist(), dtype=object)
    return flat.reshape(len(column), width)


def _classes(signature: Signature, present: set[str]) -> tuple[str, ...]:
    """Classes of the signature that have rows, in its order; StackError if there is only one."""
    if len(present) < 2:
        raise StackError(
            f"every label is {', '.join(map(repr, present))}: nothing can be learned; take a longer period"
        )
    return tuple(name for name in signature.classes if name in present)
