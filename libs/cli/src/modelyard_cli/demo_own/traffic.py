"""Requests of the demo: rows through the route of a model, and the rows that ClickHouse holds of them."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

from modelyard import ApiError, Prediction
from modelyard_cli.context import Platform
from modelyard_cli.demo_own.cases import Case, Row

CONCURRENT: Final = 8
ATTEMPTS: Final = 20
STORE_TIMEOUT_S: Final = 60.0
DRIFT_TIMEOUT_S: Final = 90.0
POLL_S: Final = 0.5
STORED_SQL: Final = """
SELECT uniqExact(prediction_id) AS stored, uniqExactIf(prediction_id, model_digest = {digest:String}) AS of_digest
FROM predictions WHERE model = {model:String} AND startsWith(prediction_id, {prefix:String}) AND status = 'ok'
"""
DRIFT_SQL: Final = """
SELECT count() AS n FROM events
WHERE model = {model:String} AND type = 'DriftDetected' AND JSONExtractString(payload, 'kind') = 'feature'
"""


@dataclass(frozen=True)
class Sent:
    """Rows that were answered. digests: of the versions that answered."""

    rows: int
    digests: frozenset[str]


def send(platform: Platform, case: Case, rows: Sequence[Row], prefix: str) -> Sent:
    """Send every row; ApiError if one is refused, or not answered after ATTEMPTS."""
    router = platform.router

    def answer(numbered: tuple[int, Row]) -> Prediction:
        return _asked(lambda: router.predict(case.name, numbered[1], prediction_id=f"{prefix}-{numbered[0]:06d}"))

    with ThreadPoolExecutor(CONCURRENT) as pool:
        answers = list(pool.map(answer, enumerate(rows)))
    return Sent(len(answers), frozenset(found.digest for found in answers))


def _asked(call: Any) -> Prediction:
    """A route that is new, or a busy server, is asked again."""
    for attempt in range(ATTEMPTS):
        try:
            found: Prediction = call()
            return found
        except ApiError as error:
            if not (error.retryable or error.status == 404) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(min(0.2 * (attempt + 1), 2.0))
    raise AssertionError("the last attempt returns or raises")


def repeated(rows: Sequence[Row], count: int) -> list[Row]:
    """`count` rows, the given ones in turn."""
    return list(islice(cycle(rows), count))


def shifted(case: Case, rows: Sequence[Row]) -> Iterator[Row]:
    """Rows whose columns are multiplied by the factors of the case."""
    for row in rows:
        yield {name: value * case.shifted[name] if name in case.shifted else value for name, value in row.items()}


def stored(platform: Platform, case: Case, prefix: str, digest: str, sent: int) -> dict[str, int]:
    """What ClickHouse holds, once it holds all rows or the time is up: `stored` and `of_digest`."""
    deadline = time.monotonic() + STORE_TIMEOUT_S
    parameters = {"model": case.name, "prefix": prefix, "digest": digest}
    while True:
        [found] = platform.query(STORED_SQL, parameters)
        if found["stored"] >= sent or time.monotonic() > deadline:
            return {name: int(value) for name, value in found.items()}
        time.sleep(POLL_S)


def drift_detected(platform: Platform, case: Case) -> bool:
    """Whether drift of a feature was detected; waits for it where rows were shifted."""
    deadline = time.monotonic() + (DRIFT_TIMEOUT_S if case.shifted else 0.0)
    while True:
        [found] = platform.query(DRIFT_SQL, {"model": case.name})
        if found["n"] or time.monotonic() > deadline:
            return bool(found["n"])
        time.sleep(POLL_S)
