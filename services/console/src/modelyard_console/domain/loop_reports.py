"""Published reports as curves and tables."""

from modelyard import LoopReport, LoopWay
from modelyard_console.domain.charts import Chart, Line, Mark

FROZEN = "frozen"


def curves_of(report: LoopReport) -> Chart:
    """The rolling metric of each way to work over the rows of the stream; lines that lack a row are joined."""
    drawn = [way for way in report.ways if way.curve]
    rows = sorted({row for way in drawn for row, _ in way.curve})
    lines = [Line(way.title, [dict(way.curve).get(row) for row in rows], dashed=not way.is_platform) for way in drawn]
    marks = [Mark(mark.row, mark.what) for mark in report.marks]
    return Chart(f"{report.metric.capitalize()} over the stream", rows, lines, marks, x_label="row")


def gain_of(way: LoopWay, report: LoopReport) -> float | None:
    """How much better a way is than version 1 frozen; None without that, and for it."""
    frozen = next((one for one in report.ways if one.name == FROZEN), None)
    if frozen is None or way.name == FROZEN:
        return None
    return frozen.overall - way.overall if report.lower_is_better else way.overall - frozen.overall


def best_of(report: LoopReport) -> LoopWay:
    """The best way of the platform."""
    ways = [way for way in report.ways if way.is_platform] or list(report.ways)
    return min(ways, key=lambda way: way.overall if report.lower_is_better else -way.overall)
