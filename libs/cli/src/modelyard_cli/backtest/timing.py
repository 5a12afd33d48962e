"""The time of the data: how long a row lasts, and how many rows a label comes late."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError

ROW_S: Final = 1.0
"""Rows without a time column are one second apart, as in training sets without one."""


@dataclass(frozen=True)
class Timing:
    """row_s: median seconds of the data between two rows, or the mean where most rows have equal times."""

    row_s: float
    delay_rows: int


def timing(stream: Stream, first: int, *, delay_s: float | None, delay_rows: int | None) -> Timing:
    """The timing of a stream. StackError when a delay in time is given and the rows have no times, or it is too long.

    delay_s: delay of the labels as a duration; in rows it is the median number of rows within it. delay_rows: the delay
    in rows; None with delay_s None is no delay.
    """
    times = stream.times
    if times is None:
        if delay_s is not None:
            raise StackError(
                "--label-delay: the file has no time column; name it with --time, or use --label-delay-rows"
            )
        return Timing(ROW_S, _checked(delay_rows or 0, stream, first))
    gaps = np.diff(times)
    row_s = float(np.median(gaps)) or float(gaps.mean()) or ROW_S
    if delay_s is None:
        return Timing(row_s, _checked(delay_rows or 0, stream, first))
    later = np.searchsorted(times, times[first:] + delay_s) - np.arange(first, stream.rows)
    inside = later[times[first:] + delay_s <= times[-1]]
    if not inside.size:
        raise StackError(
            f"--label-delay: longer than the {(times[-1] - times[first]) / 86_400:.1f} days after version 1"
        )
    return Timing(row_s, _checked(int(np.median(inside)), stream, first))


def _checked(rows: int, stream: Stream, first: int) -> int:
    if rows > (stream.rows - first) // 2:
        raise StackError(
            f"labels come {rows:,} rows late, more than half of the {stream.rows - first:,} rows after version 1: "
            "nothing could be learned; shorten the delay or take a longer file"
        )
    return rows
