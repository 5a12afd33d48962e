"""One client serves all queries and is made again after an error."""

from typing import Any

import clickhouse_connect
import pytest

from modelyard_runtime.clickhouse import ClickHouseConnection


def test_a_client_is_made_once_and_again_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def get_client(**options: Any) -> object:
        made.append(options)
        return object()

    monkeypatch.setattr(clickhouse_connect, "get_client", get_client)
    connection = ClickHouseConnection("https://h:1", "reader", "secret", "ml", connect_timeout=5)
    assert made == [], "it connects at the first query"
    first = connection.client()
    assert connection.client() is first
    connection.forget()
    assert connection.client() is not first
    assert len(made) == 2
    expected = {"dsn": "https://h:1", "interface": "https", "autogenerate_session_id": False, "connect_timeout": 5}
    assert expected.items() <= made[0].items()
