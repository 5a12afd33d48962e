"""Durations as people write them."""

import pytest

from modelyard_contracts.durations import duration_s, duration_text

DAY_S = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ("1.5m", 90), ("45s", 45), ("2w", 14 * DAY_S)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1 h x"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30d"):
        duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1_800, "30m"), (86_400, "1d"), (90, "90s"), (0.25, "0.25s"), (1 / 200, "0.005s"), (1_799.94, "1799.94s")],
)
def test_durations_are_written_as_they_are_read(seconds: float, text: str) -> None:
    assert (duration_text(seconds), duration_s(text)) == (text, seconds)
