"""Values as people read them. Every function takes None and returns a dash for it."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from modelyard_contracts.policies import CLASS_METRICS, VALUE_METRICS

DASH: Final = "\N{EN DASH}"
MINUS: Final = "\N{MINUS SIGN}"
MAIN_METRICS: Final = (*CLASS_METRICS, *VALUE_METRICS)
SETTING_UNITS: Final = {"_s": "seconds", "_ms": "milliseconds", "_percent": "percent"}
"""End of a setting's name to its unit."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def number(value: float | None, digits: int = 3) -> str:
    """A number with as many decimals as it needs: 12,345; 0.774; 1.2e-07."""
    if value is None or not math.isfinite(value):
        return DASH
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", MINUS)
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{value:.{digits}f}" if abs(value) >= 10**-digits else f"{value:.2g}"
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: +0.012."""
    text = number(value, digits)
    return text if value is None or text in (DASH, "0") or text.startswith(MINUS) else f"+{text}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 in percent: 12.5 %; never 0 % or 100 % for what is only near."""
    if share is None or not math.isfinite(share):
        return DASH
    rounded = round(100 * share, digits)
    if rounded == 0 and share > 0:
        return f"< {10**-digits:g} %"
    if rounded == 100 and share < 1:
        return f"> {100 - 10**-digits:g} %"
    return f"{rounded:g} %".replace("-", MINUS)


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None without a whole."""
    return part / whole if whole and part is not None else None


def milliseconds(value: float | None) -> str:
    """Milliseconds: 0.42 ms, 18 ms, 2.3 s."""
    if value is None or not math.isfinite(value):
        return DASH
    if value >= 1000:
        return seconds(value / 1000)
    return f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


def seconds(value: float | None) -> str:
    """A duration in seconds: 0.4 s, 12 s, 3 min 20 s, 5 h 10 min, 3 d 4 h."""
    if value is None or not math.isfinite(value):
        return DASH
    if value < 10:
        return f"{max(value, 0):.1f} s"
    whole = round(value)
    for size, unit, smaller, word in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {word}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def size(value: float | None) -> str:
    """Bytes with a decimal unit: 12.3 MB."""
    if value is None:
        return DASH
    amount = float(value)
    for unit in _UNITS:
        if abs(amount) < 1000 or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("the last unit always fits")


def money(value: float | None) -> str:
    """US dollars: $0.0042, $12.30."""
    if value is None:
        return DASH
    return f"${value:,.2f}" if abs(value) >= 1 or value == 0 else f"${value:.4f}"


def moment(value: datetime | str | None) -> str:
    """A moment in UTC: 2026-11-29 12:34:56."""
    found = instant(value)
    return DASH if found is None else f"{found:%Y-%m-%d %H:%M:%S}"


def instant(value: datetime | str | None) -> datetime | None:
    """A moment of an answer, which may be text."""
    if isinstance(value, str):
        return datetime.fromisoformat(value) if value else None
    return value


def as_moment(text: str) -> datetime | None:
    """A text that is a moment with its time of day; None for any other, such as a number."""
    try:
        return datetime.fromisoformat(text) if "T" in text else None
    except ValueError:
        return None


def words(value: object) -> str:
    """A constant of an API as words: `continue_tuning` as "continue tuning"."""
    return str(getattr(value, "value", value)).replace("_", " ").replace("-", " ")


def setting_name(name: str) -> str:
    """The name of a setting as words, with its unit in brackets: `max_open_s` is "max open (seconds)"."""
    for suffix, unit in SETTING_UNITS.items():
        if name.endswith(suffix) and not name.endswith(f"_per{suffix}"):
            return f"{name.removesuffix(suffix).replace('_', ' ')} ({unit})"
    return name.replace("_", " ")


def short_digest(value: str | None) -> str:
    """The start of a digest, enough to tell versions apart."""
    return DASH if not value else value.removeprefix("sha256:")[:12]


def main_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics of the task itself, without those of baselines, candidates and timing."""
    return {name: metrics[name] for name in MAIN_METRICS if name in metrics}


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested document as `a.b.c` to value; lists are values."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def plain_value(value: object) -> str:
    """Any value of a document in one line."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(item) for item in value) or DASH
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain_value(item)}" for name, item in value.items()) or DASH
    return str(getattr(value, "value", value)) or DASH


def recorded(value: object) -> str:
    """A value that a training run recorded as text: a moment as people read it, a tuple as a list."""
    if isinstance(value, Mapping):
        return ", ".join(f"{setting_name(name)}: {recorded(item)}" for name, item in value.items()) or DASH
    if isinstance(value, str) and (at := as_moment(value)):
        return f"{moment(at)} UTC"
    if isinstance(value, str) and value.startswith("(") and value.endswith(")"):
        return value[1:-1].replace("'", "").rstrip(",")
    return plain_value(value)
