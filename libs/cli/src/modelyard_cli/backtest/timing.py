"""The time of the data: how long a row lasts, and after which row each label is known."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policy_changes import UNTIMED_ROW_S

TRAIN_SHARE: Final = 0.1
MIN_TRAIN_ROWS: Final = 1_000
"""A first version of fewer rows seldom shows a gain over the majority class, which the gate asks for."""
MOST_TRAIN_SHARE: Final = 0.25

Known = NDArray[np.int64]
"""Shape (rows,): the label of row i is known once row known[i] is answered; `rows` where it arrives after the last."""


@dataclass(frozen=True)
class Timing:
    """row_s: mean seconds of the data between two rows; rows may come in bursts, which a median would not show."""

    row_s: float
    delay_rows: int
    """Median delay of the labels in rows, for reports."""
    known: Known


def first_rows(rows: int) -> int:
    """Rows that train version 1: a tenth, or more of a short stream."""
    return max(int(rows * TRAIN_SHARE), min(MIN_TRAIN_ROWS, int(rows * MOST_TRAIN_SHARE)))


def timing(stream: Stream, first: int, *, delay_s: float | None, delay_rows: int | None) -> Timing:
    """The timing of a stream; StackError if the delay cannot be followed or leaves too few labels.

    delay_s: delay of every label in the time of the data. delay_rows: the delay in rows. With neither, labels arrive
    at the times that the stream gives (`label_times`), or at once.
    """
    known = _known(stream, first, delay_s, delay_rows)
    delays = (known - np.arange(stream.rows))[first:]
    arrive = known[first:] < stream.rows
    if 2 * int(arrive.sum()) < len(delays):
        raise StackError(
            f"labels of {int((~arrive).sum()):,} of the {len(delays):,} rows after version 1, more than half, arrive "
            "after the last row: nothing could be learned; shorten the label delay or take a longer stream"
        )
    return Timing(_row_s(stream), int(np.median(delays[arrive])), known)


def after_rows(rows: int, first: int, delay_rows: int) -> Known:
    """Labels that are known `delay_rows` later; those of the training rows of version 1 at once."""
    known = np.minimum(np.arange(rows) + delay_rows, rows)
    known[:first] = np.arange(first)
    return known


def _known(stream: Stream, first: int, delay_s: float | None, delay_rows: int | None) -> Known:
    arrivals = stream.label_times if delay_s is None else None
    if delay_rows is not None or (delay_s is None and arrivals is None):
        return after_rows(stream.rows, first, delay_rows or 0)
    if stream.times is None:
        raise StackError("--label-delay: the file has no time column; name it with --time, or use --label-delay-rows")
    if arrivals is None:
        arrivals = stream.times + (delay_s or 0.0)
    known = np.maximum(np.searchsorted(stream.times, arrivals), np.arange(stream.rows))
    known[:first] = np.arange(first)
    return known


def _row_s(stream: Stream) -> float:
    if stream.times is None:
        return UNTIMED_ROW_S
    return float(stream.times[-1] - stream.times[0]) / (stream.rows - 1) or UNTIMED_ROW_S
