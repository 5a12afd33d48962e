"""The evaluator's comparisons in SQL."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select

from modelyard_contracts import ComparedVersion, EvaluationFinished, Verdict
from modelyard_deployer.domain.superseding import Comparison, Pair
from modelyard_deployer.store.tables import COMPARISONS
from modelyard_runtime.database import Transaction


class SqlComparisons:
    def __init__(self, tx: Transaction) -> None:
        self._db = tx.connection

    def add(self, event: EvaluationFinished) -> None:
        for other in event.others:
            self._add(event, Pair(event.challenger_version, other.version), other)

    def among(self, model: str, versions: Collection[int]) -> dict[Pair, Comparison]:
        if len(versions) < 2:
            return {}
        columns = COMPARISONS.c
        query = select(COMPARISONS).where(
            columns.model == model, columns.challenger.in_(versions), columns.other.in_(versions)
        )
        return {Pair(row.challenger, row.other): _read(row) for row in self._db.execute(query)}

    def forget(self, before: datetime) -> int:
        return self._db.execute(delete(COMPARISONS).where(COMPARISONS.c.evaluated_at < before)).rowcount

    def _add(self, event: EvaluationFinished, pair: Pair, found: ComparedVersion) -> None:
        known = self._db.execute(select(COMPARISONS.c.evaluated_at).where(*_is(event.model, pair))).scalar_one_or_none()
        if known is not None and known >= event.occurred_at:
            return
        self._db.execute(delete(COMPARISONS).where(*_is(event.model, pair)))
        self._db.execute(
            insert(COMPARISONS).values(
                model=event.model,
                **pair._asdict(),
                verdict=found.verdict,
                difference=found.difference,
                low=found.difference_low,
                high=found.difference_high,
                evaluated_at=event.occurred_at,
            )
        )


def _is(model: str, pair: Pair) -> tuple[ColumnElement[bool], ...]:
    columns = COMPARISONS.c
    return (columns.model == model, columns.challenger == pair.challenger, columns.other == pair.other)


def _read(row: Any) -> Comparison:
    return Comparison(Verdict(row.verdict), row.difference, row.low, row.high, row.evaluated_at)
