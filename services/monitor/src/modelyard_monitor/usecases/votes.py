"""Votes of an adaptive model's members on labelled predictions, page by page."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from modelyard_monitor.domain.ports import Row, VoteRows
from modelyard_monitor.domain.reports import MemberCalls, MemberQuality, VotePage
from modelyard_monitor.domain.votes import Cursor, InvalidCursor, grouped, judged
from modelyard_runtime.errors import Invalid

MAX_ROUNDS: Final = 4
"""Rounds of late joins in one page; a round has at most 5,000 labels."""


class Votes:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: VoteRows) -> None:
        self._rows = rows

    def page(self, model: str, after: str, limit: int) -> VotePage:
        """Return what the members lost on the labels after a cursor, at most `limit` labels per partition.

        An empty cursor returns that of now. Each label is in exactly one page of a chain of cursors; corrections and
        repeats of a label are in none.
        """
        if not after:
            return _page(model, Cursor(model, *self._rows.ends(None)), [], more=False)
        try:
            start = Cursor.parse(after, model)
        except InvalidCursor as error:
            raise Invalid(f"after: {error}; leave it out to begin with the labels of now", field="after") from error
        end = Cursor(model, *self._rows.ends(start))
        until = Cursor(
            model, end.offsets, {part: min(n, start.rounds.get(part, 0) + MAX_ROUNDS) for part, n in end.rounds.items()}
        )
        found = self._rows.labels(model, start, until, limit)
        late = self._rows.late_labels(model, start, until)
        reached = Cursor(model, {**until.offsets, **_cut(found, limit)}, until.rounds)
        return _page(model, reached, [*found, *late], more=reached != end)

    def calls(self, model: str, since: datetime) -> list[MemberCalls]:
        """Return calls and failures per version since a moment, on all routes."""
        return [MemberCalls.model_validate(row) for row in self._rows.calls(model, since)]

    def quality(self, model: str, since: datetime, bucket_s: int) -> list[MemberQuality]:
        """Return the quality of each member by interval, oldest first."""
        return [_quality(row) for row in self._rows.quality(model, since, bucket_s)]


def _quality(row: Row) -> MemberQuality:
    return MemberQuality(
        at=datetime.fromtimestamp(row["at_s"], UTC),
        version=row["version"],
        labelled=row["labelled"],
        wrong=row["member_wrong"],
        answers_wrong=row["answers_wrong"],
        mean_absolute_error=row["member_error"],
        answers_mean_absolute_error=row["answers_error"],
    )


def _cut(rows: Sequence[Row], limit: int) -> dict[int, int]:
    """Newest offset read of the partitions that have reached the limit."""
    places: dict[int, list[int]] = {}
    for row in rows:
        places.setdefault(row["_partition"], []).append(row["_offset"])
    return {part: max(offsets) for part, offsets in places.items() if len(offsets) >= limit}


def _page(model: str, cursor: Cursor, rows: Sequence[Row], *, more: bool) -> VotePage:
    found = judged(rows)
    return VotePage(model=model, cursor=cursor.text(), labels=len(found), groups=tuple(grouped(found)), more=more)
