"""Rows and labels of a backtest in lockstep: their order, the time of the data, waits, and what a stopped run left."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from clickhouse_connect.driver.exceptions import OperationalError

from modelyard import ApiUnavailable
from modelyard_cli.backtest import lockstep, log_counts
from modelyard_cli.backtest.journal import Journal
from modelyard_cli.backtest.lockstep import Lockstep, Replay, data_s, later_s
from modelyard_cli.backtest.timing import Known, after_rows
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.traffic import Traffic, row_of
from modelyard_cli.stack.layout import StackError

ROWS, FIRST = 900, 300


def stream(times: Any = None) -> Stream:
    labels = np.array(["no", "yes"] * (ROWS // 2), dtype=object)
    return Stream(
        "m", "y", ("a",), (), np.zeros((ROWS, 1)), np.empty((ROWS, 0), dtype=object), labels, ("no", "yes"), times
    )


class Sent:
    """A platform that answers `yes` and stores all; `votes` are its labelled votes, `counted` those in the weights."""

    def __init__(self) -> None:
        self.blocks: list[tuple[list[int], list[int]]] = []
        self.stored: dict[str, str] = {}
        self.counted = [0]
        self.votes = 0
        self.published, self.loaded = 7, [7]
        self.deployer = SimpleNamespace(
            votes=self._weights,
            rollouts=lambda *_, **__: [],
            route=lambda _: SimpleNamespace(sequence=self.published),
        )
        self.router = SimpleNamespace(routes=self._routes)
        self.trainer = SimpleNamespace(runs=lambda *_, **__: [])
        self.evaluator = SimpleNamespace(evaluations=lambda *_, **__: [])
        self.urls, self.token = {"router": "http://r"}, "t"

    def _weights(self, _: str) -> Any:
        return SimpleNamespace(labels=_next(self.counted))

    def _routes(self) -> Any:
        return [SimpleNamespace(route="m", sequence=_next(self.loaded))]

    def clickhouse(self) -> Any:
        return SimpleNamespace(query=self._query, close=lambda: None)

    def _query(self, sql: str, parameters: Any) -> Any:
        found: list[dict[str, Any]]
        if "AS votes" in sql:
            found = [{"votes": self.votes}]
        elif "first" in parameters:
            found = [
                {"prediction_id": key, "class": it} for key, it in self.stored.items() if key >= parameters["first"]
            ]
        else:
            found = [{"answered": 10**6, "labelled": 10**6}]
        return SimpleNamespace(named_results=lambda: found)


def _next(values: list[int]) -> int:
    return values.pop(0) if len(values) > 1 else values[0]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    platform = Sent()

    async def block(self: Any, rows: Sequence[int], labelled: Sequence[int], *, concurrent: int) -> None:
        assert concurrent == 1, "rows are answered in their order"
        platform.blocks.append((list(rows), list(labelled)))
        self.answers.outputs.update(dict.fromkeys(rows, "yes"))

    monkeypatch.setattr(Traffic, "block", block)
    monkeypatch.setattr("modelyard_cli.backtest.lockstep.time.sleep", lambda _: None)
    return platform


def run(platform: Any, folder: Path, known: Known, times: Any = None) -> dict[int, Any]:
    journal = Journal(folder, {})
    return Lockstep(platform, stream(times), FIRST, known, journal, Replay(folder / "replay")).run(lambda _: None)


def rows_and_labels(sent: Sent) -> tuple[list[list[int]], list[list[int]]]:
    return [rows for rows, _ in sent.blocks if rows], [labels for _, labels in sent.blocks if labels]


def test_every_row_is_sent_once_and_every_label_after_its_row(sent: Sent, tmp_path: Path) -> None:
    outputs = run(sent, tmp_path, after_rows(ROWS, FIRST, 250))
    assert sorted(outputs) == list(range(FIRST, ROWS))
    rows, labels = rows_and_labels(sent)
    assert [row for block in rows for row in block] == list(range(FIRST, ROWS))
    assert [row for block in labels for row in block] == list(range(FIRST, ROWS))
    assert [len(block) for block in labels] == [150, 450], "the last block brings all that are left"


def test_labels_are_sent_in_whole_batches_and_the_rest_waits_for_the_next_block(sent: Sent, tmp_path: Path) -> None:
    run(sent, tmp_path, after_rows(ROWS, FIRST, 30))
    _, labels = rows_and_labels(sent)
    assert [len(block) for block in labels] == [150, 200, 250]


def test_labels_arrive_in_the_order_in_which_they_are_known(sent: Sent, tmp_path: Path) -> None:
    known = after_rows(ROWS, FIRST, 0)
    known[305] = 690
    run(sent, tmp_path, known)
    _, (first, second, _) = rows_and_labels(sent)
    assert first == [row for row in range(FIRST, 451) if row != 305]
    assert second[second.index(305) + 1] == 690, "with the labels that are known after row 690"


def test_all_rows_of_a_stream_lie_in_one_partition() -> None:
    traffic = lockstep.OrderedTraffic("http://r", "t", stream(), "backtest-m")
    ids = [traffic.id_of(row) for row in range(FIRST, ROWS)]
    assert {(murmur2(it.encode()) & 0x7FFFFFFF) % 4 for it in ids} == {0}
    assert [row_of("backtest-m", it) for it in ids] == list(range(FIRST, ROWS))


def test_the_services_learn_the_time_of_the_data_before_the_rows(sent: Sent, tmp_path: Path) -> None:
    run(sent, tmp_path, after_rows(ROWS, FIRST, 0), times=np.arange(ROWS) * 3_600.0)
    data = [float(line.split()[1]) for line in (tmp_path / "replay").read_text().splitlines()]
    assert data == [499 * 3_600, 699 * 3_600, 899 * 3_600]


def test_a_run_that_was_stopped_sends_what_was_not_stored(sent: Sent, tmp_path: Path) -> None:
    Journal(tmp_path, {}).block("m", FIRST, ["no"] * 200)
    ids = lockstep.OrderedTraffic("http://r", "t", stream(), "backtest-m")
    sent.stored = {ids.id_of(row): "no" for row in range(500, 520)} | {f"{ids.id_of(520)}-1": "no"}
    outputs = run(sent, tmp_path, after_rows(ROWS, FIRST, 0))
    assert sent.blocks[0][0] == list(range(521, 700)), "answers that are stored are taken from the log"
    assert {outputs[row] for row in range(FIRST, 521)} == {"no"} and outputs[521] == "yes"


def test_the_next_rows_wait_until_weights_and_route_have_followed(sent: Sent, tmp_path: Path) -> None:
    sent.votes, sent.counted, sent.loaded = 150, [0, 90, 150], [6, 6, 7]
    run(sent, tmp_path, after_rows(ROWS, FIRST, 0))
    assert (sent.counted, sent.loaded) == ([150], [7])


def test_votes_that_no_weight_will_count_are_waited_for_once(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockstep, "WEIGHTS_TIMEOUT_S", -1.0)
    sent.votes, sent.counted = 30, [10]
    assert len(run(sent, tmp_path, after_rows(ROWS, FIRST, 0))) == ROWS - FIRST


def test_the_data_always_move_on_so_that_weights_are_updated(tmp_path: Path) -> None:
    replay = Replay(tmp_path / "replay")
    for moment in (5.0, 5.0, 5.01, 9.0):
        replay.at(moment)
    data = [float(line.split()[1]) for line in (tmp_path / "replay").read_text().splitlines()]
    assert data == pytest.approx([5.0, 5.1, 5.2, 9.0])


def test_the_time_of_the_data_goes_on_from_one_policy_to_the_next(tmp_path: Path) -> None:
    rows = stream()
    for place in range(3):
        replay = Replay(tmp_path / "replay", later_s(rows, place))
        for row in (FIRST, ROWS - 1):
            replay.at(data_s(rows, row))
    data = [float(line.split()[1]) for line in (tmp_path / "replay").read_text().splitlines()]
    assert data == sorted(data)
    assert [end - begin for begin, end in zip(data[::2], data[1::2], strict=True)] == [ROWS - 1 - FIRST] * 3
    assert data[2] - data[1] > 86_400


def test_a_clickhouse_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    platform, failures = Sent(), [OperationalError("away"), ConnectionError("away")]
    answer = platform.clickhouse

    def restarting() -> Any:
        if failures:
            raise failures.pop()
        return answer()

    monkeypatch.setattr("modelyard_cli.backtest.log_counts.time.sleep", lambda _: None)
    platform.clickhouse = restarting  # type: ignore[method-assign]
    log: Any = log_counts.Log(platform, stream())  # type: ignore[arg-type]
    assert log.counts() == (10**6, 10**6)
    failures.extend([OperationalError("away")] * 3)
    log.close()
    monkeypatch.setattr(log_counts, "PATIENCE_S", -1.0)
    with pytest.raises(StackError, match=r"has not answered .* run the same command again"):
        log.counts()


def test_a_deployer_that_restarts_is_waited_for(sent: Sent, tmp_path: Path) -> None:
    sent.votes, answers = 10, [ApiUnavailable(0, "unreachable", "no answer"), SimpleNamespace(labels=10)]

    def weights(_: str) -> Any:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    sent.deployer.votes = weights
    assert len(run(sent, tmp_path, after_rows(ROWS, FIRST, 0))) == ROWS - FIRST


def test_the_row_of_a_prediction_is_found_after_a_lost_connection_too() -> None:
    assert row_of("backtest-a-b", "backtest-a-b-0001234") == row_of("backtest-a-b", "backtest-a-b-0001234-2") == 1_234
