"""Sessions: their limits, their end, and what many clients at once do to each other."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from modelyard_devclickhouse.errors import ClickHouseError
from modelyard_devclickhouse.sessions import MAX_SESSIONS, Sessions
from modelyard_devclickhouse.sql import parse
from modelyard_devstack.testing import wait_until

pytestmark = pytest.mark.usefixtures("loopback")
CLIENTS = MAX_SESSIONS + 44


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Sessions and the clock they see."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions("ml", self.clock)

    def use(self, name: str, user: str = "writer", *, statement: str = "SELECT 1", timeout: str = "") -> None:
        session = self.sessions.borrow(user, name, timeout=timeout, must_exist=False)
        if not statement.startswith("SELECT"):
            session.learn(parse(statement), statement)
        self.clock.now += 0.001
        self.sessions.give_back(session)

    def exists(self, name: str, user: str = "writer") -> bool:
        try:
            session = self.sessions.borrow(user, name, timeout="", must_exist=True)
        except ClickHouseError as error:
            assert error.code == 372
            return False
        self.sessions.give_back(session)
        return True


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_oldest_idle_session_gives_way(desk: Desk) -> None:
    for number in range(MAX_SESSIONS):
        desk.use(f"s{number}")
    desk.use("s0")  # used again: s1 is the oldest now
    desk.use("one more")
    assert desk.exists("s0") and desk.exists("one more") and desk.exists("s2")
    assert not desk.exists("s1")


def test_a_session_with_state_outlives_those_without(desk: Desk) -> None:
    desk.use("precious", statement="SET max_threads = 1")
    for number in range(3 * MAX_SESSIONS):
        desk.use(f"s{number}")
    assert desk.exists("precious")
    for number in range(MAX_SESSIONS):
        desk.use(f"with state {number}", statement="SET max_threads = 2")
    assert not desk.exists("precious")


def test_a_session_in_use_never_gives_way(desk: Desk) -> None:
    held = desk.sessions.borrow("writer", "held", timeout="", must_exist=False)
    for number in range(2 * MAX_SESSIONS):
        desk.use(f"s{number}")
    with pytest.raises(ClickHouseError, match="locked by a concurrent client"):
        desk.sessions.borrow("writer", "held", timeout="", must_exist=True)
    desk.sessions.give_back(held)
    assert desk.exists("held")


def test_only_when_all_sessions_are_in_use_a_new_one_is_refused(desk: Desk) -> None:
    borrow = desk.sessions.borrow
    held = [borrow("writer", f"s{number}", timeout="", must_exist=False) for number in range(MAX_SESSIONS)]
    with pytest.raises(ClickHouseError, match="try again later") as caught:
        borrow("writer", "one more", timeout="", must_exist=False)
    assert (caught.value.code, caught.value.retryable) == (202, True)
    borrow("reader", "another user", timeout="", must_exist=False)
    desk.sessions.give_back(held[7])
    borrow("writer", "one more", timeout="", must_exist=False)


def test_the_sessions_of_one_user_do_not_displace_those_of_another(desk: Desk) -> None:
    desk.use("mine", "writer")
    for number in range(3 * MAX_SESSIONS):
        desk.use(f"s{number}", "reader")
    assert desk.exists("mine", "writer")


def test_a_session_ends_after_its_own_timeout(desk: Desk) -> None:
    desk.use("short", timeout="2")
    desk.use("long")
    desk.clock.now += 3
    assert desk.exists("long") and not desk.exists("short")


def test_more_clients_than_sessions_within_a_minute_are_all_served(server: Any) -> None:
    """Each has its own session of 60 s and stays: before, the 257th was locked out with all others."""
    at = {"session_id": uuid4().hex}
    server.value("CREATE TEMPORARY TABLE kept (a UInt8)", **at)
    server.value("INSERT INTO kept VALUES (5)", **at)

    def one(number: int) -> str:
        return str(server.value(f"SELECT {number}", session_id=uuid4().hex, session_timeout="60"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(CLIENTS))) == [str(number) for number in range(CLIENTS)]
    assert server.value("SELECT a FROM kept", **at) == "5"


def test_a_running_statement_keeps_its_session_while_others_come(server: Any) -> None:
    at = {"session_id": uuid4().hex}
    server.value("SET max_block_size = 555", **at)
    with ThreadPoolExecutor(9) as pool:
        sql = "SELECT count(), getSetting('max_block_size') FROM numbers(60) WHERE sleepEachRow(0.03) = 0"
        long = pool.submit(server.value, sql, max_block_size="1", **at)
        wait_until(lambda: "FROM numbers(60) WHERE" in server.value("SELECT query FROM system.processes"))
        others = [
            pool.submit(server.value, "SET max_threads = 1", session_id=uuid4().hex) for _ in range(MAX_SESSIONS + 20)
        ]
        assert {other.result() for other in others} == {""}
        assert long.result() == "60\t1"
    assert server.value("SELECT getSetting('max_block_size')", **at) == "555"


def test_close_session_ends_it_with_its_statement(server: Any) -> None:
    at = {"session_id": uuid4().hex}
    server.value("CREATE TEMPORARY TABLE gone (a UInt8)", **at)
    assert server.value("SELECT count() FROM gone", **at, close_session="1") == "0"
    assert server.ask("SELECT 1", **at, session_check="1").headers["X-ClickHouse-Exception-Code"] == "372"
    assert server.ask("SELECT nope", **at, close_session="1").status_code == 404
    assert server.ask("SELECT 1", **at, session_check="1").headers["X-ClickHouse-Exception-Code"] == "372"
    assert server.value("SELECT 1", close_session="1") == "1"


def test_sqlalchemy_without_a_pool_opens_as_many_clients_as_it_likes(server: Any) -> None:
    """Each connection is a client with a session of its own that nobody closes."""
    engine = sqlalchemy.create_engine(f"clickhousedb://reader:r-secret@127.0.0.1:{server.port}/ml", poolclass=NullPool)

    def connect(number: int) -> None:
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text(f"SELECT {number}")).scalar() == number

    connect(1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: server.value("SELECT 1", "reader", session_id=uuid4().hex), range(MAX_SESSIONS)))
    for number in range(10):
        connect(number)
