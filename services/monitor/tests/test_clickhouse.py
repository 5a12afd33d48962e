"""Which of ClickHouse's errors may pass, and which stop a partition until a person looks."""

from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, DataError, OperationalError, ProgrammingError

from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import ClickHouseAway


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
