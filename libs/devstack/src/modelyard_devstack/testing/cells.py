"""Hypothesis strategies for the texts of files: cells and column names that a person can type."""

from typing import Final

from hypothesis import strategies as st

_BLANKS: Final = ["", " ", "\t", "\n", " \r\n", "\u00a0", "\u3000"]
_PARTS: Final = [*"01.,_eE+-x5/:TZ", "12", "00", "٣", "inf", "nan", "NA"]
_WORDS: Final = [
    *("", "NA", "N/A", "null", "NaN", "-", "?", "none", "inf", "-Infinity", "1e39", "-1e400", "3.4028235e38", "00123"),
    *("10_1", "1_01", "٣", "½", "1,5", "1 000", "0x1F", "true", "FALSE", "YES", "2026-01-31", "31/01/2026", "1", "0"),
]
_NAMES: Final = [
    *("num", "cat", "label", "_label", "occurred_at", "prediction_id", "features", "id", "time", "score", "class", "0"),
    *("größe", 'say "hi"', "a\\b", "plan\nname", "tab\there", "'; DROP TABLE x; --", "{x}", "𝔸", "null", "n" * 256),
]


def cells() -> st.SearchStrategy[str]:
    """Texts of cells, most of them nearly numbers, with blanks around them."""
    texts = st.one_of(
        st.sampled_from(_WORDS),
        st.lists(st.sampled_from(_PARTS), max_size=6).map("".join),
        st.floats().map(repr),
        st.integers().map(str),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    )
    blanks = st.sampled_from(_BLANKS)
    return st.tuples(blanks, texts, blanks).map("".join)


def column_names() -> st.SearchStrategy[str]:
    """Names of columns: any characters, up to the 256 of a signature, and names with a meaning elsewhere."""
    return st.sampled_from(_NAMES) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
