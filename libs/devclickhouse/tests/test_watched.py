"""The number of failed inserts is carried over, rarely queried, and never hides a failed insert."""

from typing import Any

import pytest

from modelyard_devclickhouse.errors import ClickHouseError
from modelyard_devclickhouse.watched import FAILED_INSERTS, Failures, WatchedInsert


class Engine:
    """An engine that counts failed inserts and queries for them."""

    def __init__(self) -> None:
        self.failed, self.asked = 0, 0

    def ask(self, sql: str) -> str:
        self.asked += sql == FAILED_INSERTS
        return str(self.failed) if sql == FAILED_INSERTS else ""

    def append(self, data: bytes) -> None:
        """Takes it."""

    def cancel(self) -> None:
        self.failed += 1

    def finish(self) -> Any:
        return "done"


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def failures(engine: Engine) -> Failures:
    return Failures(engine)


def begin(engine: Engine, failures: Failures) -> WatchedInsert:
    return WatchedInsert(engine, engine, "SELECT its id", failures)


def test_good_inserts_ask_once_each(engine: Engine, failures: Failures) -> None:
    for _ in range(5):
        assert begin(engine, failures).finish() == "done"
    assert engine.asked == 6


def test_an_insert_that_fails_is_an_error_and_the_next_one_is_not(engine: Engine, failures: Failures) -> None:
    begin(engine, failures).finish()
    insert = begin(engine, failures)
    engine.failed += 1
    with pytest.raises(ClickHouseError):
        insert.finish()
    assert begin(engine, failures).finish() == "done"


def test_after_a_cancelled_insert_the_count_is_asked_anew(engine: Engine, failures: Failures) -> None:
    begin(engine, failures).finish()
    begin(engine, failures).cancel()
    assert begin(engine, failures).finish() == "done"


def test_after_another_statement_failed_the_count_is_asked_anew(engine: Engine, failures: Failures) -> None:
    begin(engine, failures).finish()
    engine.failed += 1  # an INSERT ... SELECT, say: its error was reported to its own client
    failures.forget()
    assert begin(engine, failures).finish() == "done"


def test_an_unreported_failure_causes_a_check_but_hides_no_failed_insert(engine: Engine, failures: Failures) -> None:
    begin(engine, failures).finish()
    engine.failed += 1
    with pytest.raises(ClickHouseError, match="it is unknown"):
        begin(engine, failures).finish()
    assert begin(engine, failures).finish() == "done"
