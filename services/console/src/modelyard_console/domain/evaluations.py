"""Numbers of an evaluation as rows of tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard import ClassResult, Disagreement, EvaluationRun, ReportResult
from modelyard_console.domain.formats import ratio


@dataclass(frozen=True)
class Sides:
    """One number of both versions."""

    name: str
    champion: float | None
    challenger: float | None
    rows: int | None = None

    @property
    def difference(self) -> float | None:
        """Challenger minus champion."""
        return None if self.champion is None or self.challenger is None else self.challenger - self.champion


def metric_rows(report: ReportResult) -> list[Sides]:
    """All metrics that either side has."""
    champion, challenger = report.metrics.get("champion", {}), report.metrics.get("challenger", {})
    names = dict.fromkeys([*challenger, *champion])
    return [Sides(name, champion.get(name), challenger.get(name)) for name in names]


def class_rows(report: ReportResult) -> list[Sides]:
    """Recall by class, the commonest class first."""
    return [_recall(name, one) for name, one in sorted(report.by_class.items(), key=lambda item: -item[1].rows)]


def _recall(name: str, one: ClassResult) -> Sides:
    return Sides(name, ratio(one.champion_right, one.rows), ratio(one.challenger_right, one.rows), one.rows)


def ends_of(evaluations: Iterable[EvaluationRun]) -> list[tuple[float, float]]:
    """Ends of all intervals that are drawn on one scale."""
    reports = [one.report for one in evaluations if one.report]
    compared = [(report.comparison.low, report.comparison.high) for report in reports if report.comparison]
    return compared + [(other.low, other.high) for report in reports for other in report.others]


def columns_of(rows: Sequence[Disagreement]) -> list[str]:
    """Columns of a sample of rows, in the order of the first row that has them."""
    return list(dict.fromkeys(name for one in rows for name in one.row))
