"""Parts of pages that stand alone: no script, no network, light and dark."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 960
HEIGHT: Final = 320
MARGIN: Final = 44
Curve = Sequence[tuple[int, float]]
"""(row, value), rows rising."""

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d8dce2; --paper: #fff;
  --a: #1f6feb; --b: #b0572a; --c: #2f7d4f; --d: #8250a8; --e: #a40e57 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #9aa3ad; --line: #363c44; --paper: #15181c; --a: #6ea8fe; --b: #e39a6b;
    --c: #6cc08b; --d: #c39ae0; --e: #f08cbc } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
td:last-child { overflow-wrap: break-word } th, td:not(:last-child) { white-space: nowrap }
svg { width: 100%; height: auto } svg text { fill: var(--soft); font-size: 11px } .axis { stroke: var(--line) }
polyline { fill: none; stroke-width: 1.3 }
.frozen { stroke: var(--b) } .scheduled { stroke: var(--c) } .online { stroke: var(--d) }
.platform { stroke: var(--a); stroke-width: 2.4 }
.mark { stroke: var(--soft); stroke-dasharray: 2 3 } .mark.live { stroke: var(--a); stroke-dasharray: none }
svg text.live { fill: var(--a) }
.key-frozen { color: var(--b) } .key-platform { color: var(--a) }
.key-scheduled { color: var(--c) } .key-online { color: var(--d) }
.line-0 { stroke: var(--a); color: var(--a) } .line-1 { stroke: var(--d); color: var(--d) }
.line-2 { stroke: var(--c); color: var(--c) } .line-3 { stroke: var(--b); color: var(--b) }
.line-4 { stroke: var(--e); color: var(--e) } .line-5 { stroke: var(--soft); color: var(--soft) }
polyline.line-0 { stroke-width: 2.4 }
.facts { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem }
@media (max-width: 40rem) { .facts { grid-template-columns: 1fr }
  table { display: block; overflow-x: auto } th, td, td:not(:last-child) { white-space: normal; padding: .3rem } }
.facts div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem }
.facts b { display: block; font-size: 1.3rem } details { margin: .4rem 0 }
"""


def document(title: str, body: str) -> str:
    """A whole page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body>{body}</body></html>"
    )


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table; every cell is escaped."""
    cells = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>" for row in body)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def chart(curves: Mapping[str, Curve], rows: int, marks: Iterable[tuple[int, str, str]] = ()) -> str:
    """Lines over the rows of a stream, the first one on top.

    curves: by class of the style sheet. marks: (row, word, class) of lines over the whole height.
    """
    values = [value for curve in curves.values() for _, value in curve]
    spread = (max(values) - min(values)) or abs(max(values)) or 1.0
    low, high = min(values) - 0.05 * spread, max(values) + 0.15 * spread
    lines = "".join(
        f'<polyline class="{name}" points="{_points(curve, rows, low, high)}"/>'
        for name, curve in reversed(list(curves.items()))
    )
    flags = "".join(_flag(_x(row, rows), word, kind, place % 3) for place, (row, word, kind) in enumerate(marks))
    axis = f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 12}" text-anchor="end">{rows:,} rows, in time order</text>'
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="metric over the stream">'
    return f"{head}{_grid(low, high)}{flags}{lines}{axis}</svg>"


def _x(row: float, rows: int) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * row / rows


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / (high - low)


def _points(curve: Curve, rows: int, low: float, high: float) -> str:
    return " ".join(f"{_x(row, rows):.1f},{_y(value, low, high):.1f}" for row, value in curve)


def _grid(low: float, high: float) -> str:
    return "".join(
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in ticks(low, high)
        for y in [_y(value, low, high)]
    )


def ticks(low: float, high: float) -> list[float]:
    """Four to ten round values between two bounds."""
    rough = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _flag(x: float, word: str, kind: str, step: int) -> str:
    """A line over the whole height with its word; words of neighbours stand on steps of their own."""
    side = 'text-anchor="end" ' if x > WIDTH - 2 * MARGIN else ""
    place = x - 3 if side else x + 3
    return (
        f'<line class="mark {kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}"/>'
        f'<text class="{kind}" {side}x="{place:.1f}" y="{MARGIN - 28 + 12 * step:.1f}">{escape(word)}</text>'
    )
