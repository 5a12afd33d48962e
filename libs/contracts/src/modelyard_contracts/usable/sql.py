"""The rule for one value, as ClickHouse SQL; the text of an argument is an expression."""

from modelyard_contracts.usable.values import BLANK, INFINITE_PATTERN, LARGEST_NUMBER, MISSING_WORDS, NUMBER_PATTERN


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def stripped(cell: str) -> str:
    """A String without the blanks around it."""
    return f"trim(BOTH {literal(BLANK)} FROM {cell})"


def is_missing(cell: str) -> str:
    """1 for a cell that has no value in a column of numbers, booleans or timestamps."""
    return f"lower({stripped(cell)}) IN ({', '.join(map(literal, MISSING_WORDS))})"


def parse_number(cell: str) -> str:
    """Nullable(Float64): the number in a String; NULL for any other text."""
    text = stripped(cell)
    pattern = literal(f"^(?:{NUMBER_PATTERN}|{INFINITE_PATTERN})$")
    return f"if(match({text}, {pattern}), toFloat64OrNull({text}), NULL)"


def usable_number(value: str) -> str:
    """1 for a Nullable(Float64) that models compute with: finite, and within float32."""
    return f"ifNull(isFinite({value}) AND abs({value}) <= {LARGEST_NUMBER!r}, 0)"
