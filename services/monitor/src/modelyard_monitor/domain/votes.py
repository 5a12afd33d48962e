"""What each member of an ensemble lost on labelled predictions, grouped by the members that voted together."""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from modelyard_monitor.domain.reports import MemberLoss, VoteGroup

MIN_DRAWN_WEIGHT: Final = 0.05
"""A drawn member's loss is divided by its weight, at least this: otherwise one row could decide everything."""
MAX_CURSOR_CHARS: Final = 8_192


class InvalidCursor(ValueError):
    """The text is not a cursor of this model."""


@dataclass(frozen=True)
class Cursor:
    """How far the labels of a model were read, per partition of the topic of labels."""

    model: str
    offsets: Mapping[int, int] = field(default_factory=dict)
    """Newest offset read."""
    rounds: Mapping[int, int] = field(default_factory=dict)
    """Newest round of late joins read."""

    @classmethod
    def parse(cls, text: str, model: str) -> Self:
        """Read the text of a cursor; InvalidCursor unless it is one of this model."""
        try:
            if len(text) > MAX_CURSOR_CHARS:
                raise InvalidCursor("too long")
            found = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=="))
            owner, offsets, rounds = found
            cursor = cls(owner, _places(offsets), _places(rounds))
        except (binascii.Error, UnicodeError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidCursor("not a cursor of this API") from error
        if cursor.model != model:
            raise InvalidCursor("a cursor of another model")
        return cursor

    def text(self) -> str:
        """The cursor as callers send it back."""
        places = [[[part, place] for part, place in sorted(one.items())] for one in (self.offsets, self.rounds)]
        data = json.dumps([self.model, *places], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _places(pairs: Any) -> dict[int, int]:
    found: dict[int, int] = dict(pairs)
    if not all(type(one) is int and 0 <= one < 2**63 for pair in found.items() for one in pair):
        raise InvalidCursor("partitions and offsets are numbers")
    return found


class Vote(NamedTuple):
    """One member's answer to one labelled prediction."""

    version: int
    digest: str
    weight: float
    loss: float
    drawn: bool = False
    """It was drawn with its weight to answer alone."""


class Judged(NamedTuple):
    """A labelled prediction with its votes."""

    votes: tuple[Vote, ...]
    loss: float
    """Of the answer that the caller got."""


def judged(rows: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """Return labels as losses in [0, 1]; labels that compare with nothing are left out.

    rows: wrong, absolute_error and votes of each label. A wrong class loses 1. An error of a value is divided by the
    largest error of the members on that row, as the bounds of weighted voting need losses in [0, 1]; a single member's
    error e becomes e / (e + m), where m is the mean error of such rows.
    """
    alone = [_error(row["votes"][0]) for row in rows if len(row["votes"]) == 1]
    known = [error for error in alone if error is not None]
    mean = sum(known) / len(known) if known else 0.0
    return [found for row in rows if (found := _judged(row, mean)) is not None]


def _judged(row: Mapping[str, Any], mean: float) -> Judged | None:
    votes = [vote for vote in row["votes"] if vote["wrong"] is not None or _error(vote) is not None]
    if not votes:
        return None
    if votes[0]["wrong"] is not None:
        losses, own = [float(vote["wrong"]) for vote in votes], row["wrong"]
        answer = losses[0] if own is None else float(own)
    else:
        errors = [_error(vote) or 0.0 for vote in votes]
        scale = max(errors)
        losses = [_share(error, scale if len(errors) > 1 else error + mean) for error in errors]
        answer = min(1.0, _share(row["absolute_error"] or 0.0, scale)) if len(errors) > 1 else losses[0]
    given = [
        Vote(v["version"], v["digest"], v["weight"], loss, bool(v["drawn"]))
        for v, loss in zip(votes, losses, strict=True)
    ]
    return Judged(tuple(given), answer)


def _error(vote: Mapping[str, Any]) -> float | None:
    error = vote["absolute_error"]
    return float(error) if error is not None and math.isfinite(error) else None


def _share(error: float, whole: float) -> float:
    return error / whole if whole > 0 else 0.0


def grouped(labels: Iterable[Judged]) -> list[VoteGroup]:
    """Return sums per set of members that voted on the same rows, in order of first appearance."""
    groups: dict[tuple[Any, ...], list[Judged]] = {}
    for one in labels:
        key = (_drawn(one), *sorted((vote.version, vote.digest) for vote in one.votes))
        groups.setdefault(key, []).append(one)
    return [_group(members) for members in groups.values()]


def _drawn(one: Judged) -> bool:
    """Whether one member was drawn to answer alone."""
    return one.votes[0].drawn


def _group(labels: Sequence[Judged]) -> VoteGroup:
    drawn = _drawn(labels[0])
    losses: dict[tuple[int, str], float] = {}
    for one in labels:
        for vote in one.votes:
            member = vote.version, vote.digest
            losses[member] = losses.get(member, 0.0) + vote.loss * (_inverse(vote) if drawn else 1.0)
    return VoteGroup(
        members=tuple(MemberLoss(version=v, digest=d, loss=loss) for (v, d), loss in sorted(losses.items())),
        rows=len(labels),
        loss=sum(one.loss for one in labels),
        expected=sum(_expected(one.votes) for one in labels),
        drawn=drawn,
        inverse=sum(_inverse(one.votes[0]) for one in labels) if drawn else float(len(labels)),
    )


def _inverse(vote: Vote) -> float:
    """Importance of a drawn member's row: without it, members that are drawn often would seem to lose more."""
    return 1.0 / max(vote.weight, MIN_DRAWN_WEIGHT)


def _expected(votes: Sequence[Vote]) -> float:
    """Loss of a member drawn with the weights."""
    total = sum(vote.weight for vote in votes)
    return sum(vote.weight * vote.loss for vote in votes) / total if total > 0 else 0.0
