"""Tokens removed at the start."""

from pathlib import Path

from modelyard_devclickhouse.tokens import forget_uncommitted


def test_only_tokens_without_their_own_or_a_merged_part_are_forgotten(tmp_path: Path) -> None:
    table = tmp_path / "store" / "abc" / "abc-def"
    for part in ("all_1_4_2", "all_2_2_0", "all_6_6_1_9", "202611_1_1_0", "tmp_insert_all_5_5_0", "detached"):
        (table / part).mkdir(parents=True)
    log = table / "deduplication_logs" / "deduplication_log_1.txt"
    log.parent.mkdir()
    kept = ["1\tall_1_1_0\ta", "1\tall_3_3_0\tb", "2\tall_5_5_0\tc", "1\tall_6_6_1\td", "1\t202611_1_1_0\te", "torn"]
    lost = ["1\tall_5_5_0\tf", "1\tall_7_7_0\tg", "1\t202611_2_2_0\th"]
    log.write_text("\n".join(kept[:3] + lost + kept[3:]))
    assert forget_uncommitted(tmp_path) == 3
    assert log.read_text() == "\n".join(kept)
    assert forget_uncommitted(tmp_path) == 0
    assert list(log.parent.iterdir()) == [log]


def test_a_folder_without_tables_has_nothing_to_forget(tmp_path: Path) -> None:
    assert forget_uncommitted(tmp_path / "none") == 0
