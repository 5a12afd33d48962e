"""Values as people read them."""

from datetime import UTC, datetime

import pytest

from modelyard_console.domain import formats
from modelyard_console.domain.charts import Chart, Line, Mark, histogram


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "–"), (float("nan"), "–"), (0, "0"), (12345, "12,345"), (0.77412, "0.774"), (-3.5, "−3.500")),
        *((0.00012, "0.00012"), (12345.6, "12,346"), (1e-30, "1e−30")),
    ],
)
def test_a_number_has_the_decimals_that_it_needs(value: float | None, text: str) -> None:
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0, "0 %"),
        (1, "100 %"),
        (0.125, "12.5 %"),
        (0.0001, "< 0.1 %"),
        (0.9999, "> 99.9 %"),
        (-0.021, "−2.1 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float | None, text: str) -> None:
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12, "12 s"),
        (200, "3 min 20 s"),
        (18_600, "5 h 10 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(value: float | None, text: str) -> None:
    assert formats.seconds(value) == text


def test_a_difference_has_a_sign() -> None:
    assert [formats.signed(value) for value in (0.012, -0.012, 0, None)] == ["+0.012", "−0.012", "0", "–"]


def test_a_chart_of_moments_is_drawn_in_seconds_and_its_table_in_utc() -> None:
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    chart = Chart("Accuracy", [at], [Line("v1", [0.8], [0.7], [0.9])], [Mark(at, "promoted")])
    data = chart.data()
    assert (data["time"], data["x"], data["marks"][0]["at"]) == (True, [at.timestamp()], at.timestamp())
    assert not chart.empty
    assert Chart("Nothing", [at], [Line("v1", [None])]).empty


def test_histograms_compare_shares_and_an_empty_side_is_zero() -> None:
    bars = histogram([("low", 30, 0), ("high", 10, 0)])
    assert [(bar.reference, bar.current) for bar in bars] == [(0.75, 0.0), (0.25, 0.0)]


def test_only_a_text_with_a_time_of_day_is_a_moment() -> None:
    assert formats.as_moment("2026-11-29T15:30:51.680627+00:00") == datetime(
        2026, 11, 29, 15, 30, 51, 680627, tzinfo=UTC
    )
    assert [formats.as_moment(text) for text in ("20240101", "Titanic", "4031", "")] == [None] * 4


def test_what_a_training_run_recorded_reads_as_people_write_it() -> None:
    assert formats.recorded("('logistic', 'boosting')") == "logistic, boosting"
    assert formats.recorded("('logistic',)") == "logistic"
    assert formats.recorded("2026-11-29T16:52:20.206254+00:00") == "2026-11-29 16:52:20 UTC"
    assert (
        formats.recorded({"window_time_s": 300.0, "metric": "accuracy"})
        == "window time (seconds): 300, metric: accuracy"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [("max_open_s", "max open (seconds)"), ("row_ms", "row (milliseconds)"), ("penalty_per_ms", "penalty per ms")],
)
def test_names_of_settings_carry_their_unit(name: str, shown: str) -> None:
    assert formats.setting_name(name) == shown
