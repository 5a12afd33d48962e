"""An acknowledgement that Kafka has is not sent again; anything in the file but that costs repeats only."""

from pathlib import Path

import pytest

from modelyard_router.store.acknowledged import FILE, Acknowledged


def test_what_kafka_has_is_known_after_a_restart(tmp_path: Path) -> None:
    first = Acknowledged(tmp_path)
    for sequence, accepted in ((5, True), (6, False), (7, True)):
        assert not first.has("churn", sequence, accepted)
        first.add("churn", sequence, accepted)
    first.save()

    again = Acknowledged(tmp_path)
    assert again.has("churn", 7, True) and again.has("churn", 6, False)
    assert not again.has("churn", 7, False)
    assert not again.has("churn", 1, True), "a route whose sequence starts again is acknowledged again"
    assert not again.has("other", 7, True)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"churn": 3}', '{"churn": {"accepted": "x"}}', "[" * 100_000])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    found = Acknowledged(tmp_path)
    assert not found.has("churn", 3, True)
    found.add("churn", 3, True)
    found.save()
    assert Acknowledged(tmp_path).has("churn", 3, True)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    found = Acknowledged(tmp_path / "gone")
    found.add("churn", 3, True)
    found.save()
    assert found.has("churn", 3, True)
