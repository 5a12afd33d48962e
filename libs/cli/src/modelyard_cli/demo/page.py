"""The report as one static HTML page: no script, no network, readable on its own."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from modelyard_cli.demo.report import NAMES, note

WIDTH: Final = 960
HEIGHT: Final = 320
MARGIN: Final = 44

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d8dce2; --paper: #fff;
  --a: #1f6feb; --b: #b0572a; --c: #2f7d4f; --d: #8250a8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #9aa3ad; --line: #363c44; --paper: #15181c; --a: #6ea8fe; --b: #e39a6b;
    --c: #6cc08b; --d: #c39ae0 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td:last-child { overflow-wrap: anywhere } th, td:not(:last-child) { white-space: nowrap }
svg { width: 100%; height: auto } svg text { fill: var(--soft); font-size: 11px } .axis { stroke: var(--line) }
polyline { fill: none; stroke-width: 1.3 }
.frozen { stroke: var(--b) } .scheduled { stroke: var(--c) } .online { stroke: var(--d) }
.platform { stroke: var(--a); stroke-width: 2.4 }
.mark { stroke: var(--soft); stroke-dasharray: 2 3 } .mark.live { stroke: var(--a); stroke-dasharray: none }
svg text.live { fill: var(--a) }
.key-frozen { color: var(--b) } .key-platform { color: var(--a) }
.key-scheduled { color: var(--c) } .key-online { color: var(--d) }
.facts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem }
@media (max-width: 40rem) { .facts { grid-template-columns: 1fr } }
.facts div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem }
.facts b { display: block; font-size: 1.3rem } details { margin: .4rem 0 }
"""


def page(report: dict[str, Any]) -> str:
    """The whole document."""
    title = f"{report['model']}: one stream, {len(report['loops'])} loops"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{_facts(report)}"
        f"<h2>{report['metric'].capitalize()} over the stream</h2>{_legend(report)}{_chart(report)}{_accuracy(report)}"
        f"<h2>What happened, when and why</h2>{''.join(_stories(report))}"
        f"<h2>Versions</h2>{_versions(report)}</body></html>"
    )


def _facts(report: dict[str, Any]) -> str:
    accuracy = report["accuracy"]
    gain = accuracy["platform_overall"] - accuracy["frozen_overall"]
    rollback = f"{report['rollback_seconds']:.2f} s" if report["rollback_seconds"] is not None else "none"
    facts = [
        (
            f"{accuracy['platform_overall']:.3f}",
            f"{report['metric']}; version 1 alone {accuracy['frozen_overall']:.3f} ({gain:+.3f})"
            + "".join(f", {NAMES[name]} {accuracy[f'{name}_overall']:.3f}" for name in _others(report)),
        ),
        (f"{report['predictions_distinct']:,}", f"predictions stored of {report['rows_sent']:,} answered"),
        (f"{report['labels_joined']:,}", f"labels joined of {report['labels_sent']:,} sent"),
        (f"{report['latency_ms']['p50']} ms", f"answer time, median; p99 {report['latency_ms']['p99']} ms"),
        (rollback, "roll-back, from the command to the last router"),
        (f"{report['wall_seconds']} s", f"for everything on this page; {_cost(report['cost'])}"),
    ]
    cards = "".join(f"<div><b>{escape(value)}</b>{escape(text)}</div>" for value, text in facts)
    return f'<div class="facts">{cards}</div>'


def _cost(cost: dict[str, Any]) -> str:
    usd = cost["training_usd"] + cost["predictions_usd"]
    return f"{cost['training_seconds']:.1f} s of it training; {usd:.4f} USD"


def _others(report: dict[str, Any]) -> list[str]:
    """Ways to work beside the platform and version 1 alone."""
    return [name for name in NAMES if name in report["curve"] and name not in ("frozen", "platform")]


def _legend(report: dict[str, Any]) -> str:
    keys = " &#160; ".join(
        f'<span class="key-{name}">&#9632; {escape(NAMES[name])}</span>' for name in NAMES if name in report["curve"]
    )
    return f"<p>{keys} &#160; {escape(report['metric'])} over the 500 rows before</p><p>{escape(note(report))}</p>"


def _chart(report: dict[str, Any]) -> str:
    curves = report["curve"]
    values = [float(value) for curve in curves.values() for _, value in curve]
    low, high = max(0.0, min(values) - 0.02), min(1.0, max(values) + 0.06)

    rows_sent = float(report["rows_sent"])

    def x(row: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * row / rows_sent

    def y(value: float) -> float:
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / (high - low)

    grid = "".join(
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{MARGIN - 6}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>'
        for v in _ticks(low, high)
    )
    drawn = [name for name in NAMES if name in curves]
    lines = "".join(f'<polyline class="{name}" points="{_points(curves[name], x, y)}"/>' for name in drawn)
    flags = "".join(_flag(x(mark["row"]), _word(mark), number % 3) for number, mark in enumerate(report["marks"]))
    title = f"{report['rows_sent']:,} rows, in time order"
    axis = f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 12}" text-anchor="end">{title}</text>'
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="accuracy over the stream">'
    return f"{head}{grid}{flags}{lines}{axis}</svg>"


def _word(mark: dict[str, Any]) -> str:
    return f"alarm {mark['loop']}" if mark["what"] == "alarm" else str(mark["what"])


def _flag(x: float, what: str, step: int) -> str:
    """A line over the whole height with its word; words of neighbours stand on steps of their own."""
    kind = "live" if what.endswith("live") else "alarm"
    side = 'text-anchor="end" ' if x > WIDTH - 2 * MARGIN else ""
    place = x - 3 if side else x + 3
    return (
        f'<line class="mark {kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}"/>'
        f'<text class="{kind}" {side}x="{place:.1f}" y="{MARGIN - 28 + 12 * step:.1f}">{escape(what)}</text>'
    )


def _ticks(low: float, high: float) -> list[float]:
    step = 0.05 if high - low > 0.1 else 0.02
    first = int(low / step) + 1
    return [step * number for number in range(first, int(high / step) + 1)]


def _points(curve: Sequence[tuple[int, float]], x: Any, y: Any) -> str:
    return " ".join(f"{x(row):.1f},{y(value):.1f}" for row, value in curve)


def _accuracy(report: dict[str, Any]) -> str:
    accuracy = report["accuracy"]
    names = [name for name in NAMES if name in accuracy]
    parts = list(zip(*(accuracy[name] for name in names), strict=True))
    body = [
        (f"{number} of {len(parts)}", *(f"{value:.3f}" for value in part), f"{part[-1] - part[0]:+z.3f}")
        for number, part in enumerate(parts, start=1)
    ]
    return _table(("part of the stream", *(NAMES[name] for name in names), "gain over frozen"), body)


def _stories(report: dict[str, Any]) -> Iterable[str]:
    for number, loop in enumerate(report["loops"], start=1):
        outcome = (loop["rollout"] or loop["verdict"] or loop["run_state"]).replace("_", " ")
        serving = loop["rollout_version"] or loop["challenger"]
        version = f"version {serving}" if serving else "no version"
        head = f"Loop {number}: {loop['cause']}: {version}, {outcome}, {loop['seconds']} s"
        body = [(event["at"][11:23], event["type"], event["what"]) for event in loop["events"]]
        opened = " open" if number == 1 else ""
        yield (
            f"<details{opened}><summary>{escape(head)}</summary>"
            f"{_table(('time (UTC)', 'event', 'what'), body)}"
            f"<p>timeline <code>{escape(loop['correlation_id'])}</code></p></details>"
        )


def _versions(report: dict[str, Any]) -> str:
    body = [(f"v{version['version']}", version["stage"], version["digest"]) for version in report["versions"]]
    back = report["rollback"]
    after = (
        f"<p>So they stood when the stream ended. Then v{back['to_version']} was put back in place of "
        f"v{back['from_version']}, to show how fast that is.</p>"
        if back
        else ""
    )
    return _table(("version", "stage", "digest"), body) + after


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>" for row in body)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
