"""The answer of a model server to one call for several versions, as an attempt of each of them."""

from typing import Final

from modelyard_contracts.inference import InvalidAnswer, MemberAnswer, decode_members
from modelyard_router.domain.leaves import Group
from modelyard_router.domain.upstreams import CallFailed, CallTimedOut, FirstAttempt, Whole

UNKNOWN_CALL: Final = frozenset({404, 405})
"""Statuses of a server that serves one version only, or is older than this call."""
TOO_LATE: Final = 504
NOT_ANSWERED: Final = Whole(404, b'{"error":"the server did not answer for this version"}')


def attempts_of(group: Group, given: FirstAttempt) -> list[FirstAttempt] | None:
    """given: the call for the whole group. None when the server takes no such call."""
    place, outcome, latency_ms = given
    if isinstance(outcome, CallFailed):
        return [given] * len(group.leaves)
    if outcome.status in UNKNOWN_CALL:
        return None
    if outcome.status != 200:
        return [given] * len(group.leaves)
    try:
        answers = decode_members(outcome.body)
    except InvalidAnswer as error:
        failed = CallFailed("protocol", str(error), answered=True)
        return [FirstAttempt(place, failed, latency_ms)] * len(group.leaves)
    found = {answer.version: answer for answer in answers.members}
    members = [found.get(str(leaf.version)) for leaf in group.leaves]
    return [_attempt(place, member, latency_ms, answers.span_ms) for member in members]


def _attempt(place: int, answer: MemberAnswer | None, latency_ms: float, span_ms: float) -> FirstAttempt:
    if answer is None:
        return FirstAttempt(place, NOT_ANSWERED, latency_ms)
    if answer.status == TOO_LATE:
        return FirstAttempt(place, CallTimedOut("no answer of this version before the deadline"), latency_ms)
    return FirstAttempt(place, Whole(answer.status, answer.body), member_latency_ms(answer, latency_ms, span_ms))


def member_latency_ms(answer: MemberAnswer, latency_ms: float, span_ms: float) -> float:
    """What a call of its own would have taken: the whole call without the predictions of the other members."""
    return latency_ms - max(span_ms - answer.predict_ms, 0.0)
