"""Policies count in the clock's time, or in the time of replayed data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelyard_runtime.policy_time import ReplayTime, policy_time_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DATA = datetime(1996, 5, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def line(seconds: float, data: datetime) -> str:
    return f"{NOW.timestamp() + seconds:.6f} {data.timestamp():.6f}\n"


def test_without_a_file_policies_count_in_the_time_of_the_clock() -> None:
    time = policy_time_of(None)
    assert time(NOW) == NOW and time.reach(NOW, DAY) == DAY


def test_data_that_are_sent_in_seconds_last_as_long_as_they_say(tmp_path: Path) -> None:
    file = tmp_path / "replay"
    file.write_text(line(0, DATA) + line(3, DATA + 4 * DAY) + line(60, DATA + 8 * DAY))
    time = ReplayTime(file)
    assert time(NOW + timedelta(seconds=2)) == DATA
    assert time(NOW + timedelta(seconds=59)) == DATA + 4 * DAY, "a wait of the backtest takes no time of the data"
    assert time(NOW - timedelta(seconds=9)) == DATA, "before the first line"
    with file.open("a") as more:
        more.write(line(61, DATA + 12 * DAY) + "17643")
    assert time(NOW + timedelta(seconds=70)) == DATA + 12 * DAY, "what was appended is read, a torn line is not"


def test_the_last_day_reaches_back_to_where_the_data_were_a_day_ago(tmp_path: Path) -> None:
    file = tmp_path / "replay"
    file.write_text("".join(line(10 * number, DATA + number * DAY / 2) for number in range(10)))
    time = ReplayTime(file)
    assert time.reach(NOW + timedelta(seconds=95), DAY) == timedelta(seconds=95 - 80)
    assert time.reach(NOW + timedelta(seconds=95), 300 * DAY) == timedelta(seconds=95)


def test_data_before_1970_have_a_time_too(tmp_path: Path) -> None:
    file = tmp_path / "replay"
    file.write_text(line(0, datetime(1949, 1, 1, tzinfo=UTC)))
    assert ReplayTime(file)(NOW) == datetime(1949, 1, 1, tzinfo=UTC)


def test_before_the_first_line_is_written_policies_count_in_the_time_of_the_clock(tmp_path: Path) -> None:
    time = ReplayTime(tmp_path / "none")
    assert time(NOW) == NOW and time.reach(NOW, DAY) == DAY
