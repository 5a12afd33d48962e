"""Which of ClickHouse's errors may pass, and which stop a partition until a person looks."""

import re
from importlib.resources import files
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError, ProgrammingError

from modelyard_monitor.domain.timelines import TimelineScope, summary_of
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import ClickHouseAway
from modelyard_monitor.store.migrations import statements
from modelyard_monitor.store.timeline_queries import TimelineQueries


class Failing:
    """A client whose every question ends in `error`."""

    database: str | None = None

    def __init__(self, error: Exception) -> None:
        self.error = error

    def query(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("the connection was reset"),
        ConnectionResetError("by peer"),
        TimeoutError("in time"),
        DatabaseError("TOO_MANY_PARTS", code=252),
        DatabaseError("NOT_ENOUGH_SPACE", code=243),
        DatabaseError("ABORTED: the server is shutting down", code=236),
        DatabaseError("QUOTA_EXCEEDED", code=201),
        DatabaseError("SERVER_OVERLOADED", code=745),
        DatabaseError("HTTP driver received HTTP status 502"),  # of a proxy: ClickHouse's own errors have a code
    ],
)
def test_errors_that_may_pass_are_retryable(error: Exception) -> None:
    with pytest.raises(ClickHouseAway):
        ClickHouse(Failing(error), "ml").rows("SELECT 1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        DatabaseError("UNKNOWN_IDENTIFIER", code=47),
        DatabaseError("TYPE_MISMATCH", code=53),
        DatabaseError("AUTHENTICATION_FAILED", code=516),
        ProgrammingError("a mistake of ours"),
        DataError("another"),
    ],
)
def test_permanent_errors_are_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        ClickHouse(Failing(error), "ml").rows("SELECT 1")  # type: ignore[arg-type]
    assert caught.value is error


def test_every_view_is_defined_once_by_its_newest_migration() -> None:
    views = [found[1] for one in statements() if (found := re.match(r"CREATE OR REPLACE VIEW (\w+)", one))]
    assert len(views) == len(set(views)) == 8
    [labelled] = [one for one in statements() if one.startswith("CREATE OR REPLACE VIEW v_labelled")]
    assert "rejected = ''" in labelled


def test_tables_of_the_release_before_are_widened_and_keep_their_rows(engine: Any, clickhouse: ClickHouse) -> None:
    old = ClickHouse(engine, f"{clickhouse.database}_old")
    folder = files("modelyard_monitor.store.migrations")
    before = [folder.joinpath(name).read_text() for name in ("0001_tables.sql", "0002_views.sql")]
    engine.command(f"CREATE DATABASE {old.database}")
    engine.database = old.database
    for statement in "\n".join(line for text in before for line in text.splitlines() if line[:2] != "--").split(";\n"):
        engine.command(statement.strip(" ;\n"))
    where = "(prediction_id, model, occurred_at, received_at, status, class, workspace, model_version, _topic, _offset)"
    engine.command(f"INSERT INTO predictions {where} VALUES ('p', 'm', now(), now(), 'ok', '1', 'default', 1, 't', 0)")
    engine.command(
        "INSERT INTO labels (prediction_id, label, occurred_at, received_at, workspace, matched, model, predicted_at, "
        "wrong, _topic) SELECT 'p', '0', now(), now(), 'default', 1, 'm', occurred_at, 1, 'l' FROM predictions"
    )
    engine.command(
        "INSERT INTO events (event_id, topic, occurred_at, recorded_at, correlation_id, payload) "
        "VALUES ('e', 'training.run.changed.v1', now(), now(), 'c', '{\"state\": \"training\", \"reason\": \"drift\"}')"
    )
    for _ in range(2):
        old.migrate()
        [timeline] = map(summary_of, TimelineQueries(old).newest(TimelineScope(), 2))
        assert (timeline.first_summary, timeline.outcome, timeline.events) == ("drift", "training", 1)
        [row] = old.rows("SELECT label, wrong FROM {db}.v_labelled")
        assert row == {"label": "0", "wrong": 1}
        [row] = old.rows("SELECT named_model, rejected, pass FROM {db}.v_matched")
        assert row == {"named_model": "", "rejected": "", "pass": 0}
    engine.command(f"DROP DATABASE {old.database}")
