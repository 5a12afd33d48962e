"""A file that fits is read as a stream; one that does not is refused with the place and the remedy."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from modelyard_cli.demo import data
from modelyard_cli.demo.command import steady_rate
from modelyard_cli.demo.data import MIN_ROWS, UnfitFile, read_csv
from modelyard_cli.demo.first import rollout_policy


def write(path: Path, header: str, row: str, rows: int = MIN_ROWS) -> Path:
    """A table of equal rows whose last column alternates between no and yes."""
    lines = [f"{row},{'yes' if number % 2 else 'no'}" for number in range(rows)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_columns_are_numbers_or_words_and_the_rest_is_the_target(tmp_path: Path) -> None:
    stream = read_csv(write(tmp_path / "My Data.csv", "age,plan,note,target", "41.5,pro,"))
    assert (stream.name, stream.rows, stream.classes) == ("my-data", MIN_ROWS, ("no", "yes"))
    assert (stream.numeric, stream.categorical) == (("age", "note"), ("plan",))
    assert stream.features(0) == {"age": 41.5, "note": None, "plan": "pro"}


def test_the_target_is_found_by_its_name_else_it_is_the_last_column(tmp_path: Path) -> None:
    lines = [f"{'ab'[number % 2]},{number}" for number in range(MIN_ROWS)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["label,size", *lines]))
    assert read_csv(path).numeric == ("size",)


@pytest.mark.parametrize(
    ("header", "row", "rows", "complaint"),
    [
        ("a,target", "1", 10, f"10 rows; at least {MIN_ROWS} are needed"),
        ("target", "", MIN_ROWS, "must name at least one feature"),
        ("a,a,target", "1,2", MIN_ROWS, "each name once"),
        ("a,b,target", "1", MIN_ROWS, "line 2: 2 fields, the first line names 3"),
    ],
)
def test_an_unfit_table_is_refused(tmp_path: Path, header: str, row: str, rows: int, complaint: str) -> None:
    with pytest.raises(UnfitFile, match=complaint):
        read_csv(write(tmp_path / "x.csv", header, row, rows))


def test_a_target_that_is_not_binary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,target", *(f"1,{number % 3}" for number in range(MIN_ROWS))]))
    with pytest.raises(UnfitFile, match="column 'target' has 3 values; it must have exactly 2"):
        read_csv(path)


def test_a_column_of_free_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["story,target", *(f"word{number},{number % 2}" for number in range(MIN_ROWS))]))
    with pytest.raises(UnfitFile, match="column 'story' is neither numeric nor of at most"):
        read_csv(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitFile, match="cannot read"):
        read_csv(tmp_path / "none.csv")


def test_infinite_numbers_count_as_missing(tmp_path: Path) -> None:
    assert np.isnan(read_csv(write(tmp_path / "x.csv", "a,target", "inf")).numbers).all()


def test_a_cached_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elec2.csv").write_text("a,b\n")
    with pytest.raises(UnfitFile, match="is not the file it should be"):
        data.fetch_elec2(tmp_path)


@pytest.mark.parametrize(("rows", "per_s"), [(45_312, 170), (3_000, 11), (500, 10), (10**6, 250)])
def test_a_stream_takes_four_minutes_unless_it_is_too_short_or_too_long_for_that(rows: int, per_s: int) -> None:
    stream = SimpleNamespace(rows=rows)
    assert round(steady_rate(stream)) == per_s  # type: ignore[arg-type]


def test_a_canary_of_a_slow_stream_asks_for_fewer_answers() -> None:
    assert [rollout_policy(rate).min_samples for rate in (10, 100, 170, 500)] == [20, 20, 34, 60]
