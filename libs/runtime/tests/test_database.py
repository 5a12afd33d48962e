"""Transactions, inbox and outbox rows, on SQLite and PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Column, MetaData, Table, create_engine, insert, select, text

from modelyard_contracts import TrainingRunRequested
from modelyard_runtime.clock import FakeClock, system_clock
from modelyard_runtime.database import (
    Database,
    DatabaseAway,
    DatabaseBusy,
    DatabaseUnwritable,
    UtcDateTime,
    metadata_tables,
    open_engine,
)
from modelyard_runtime.errors import MessageTooLarge, Retryable, StartupError, named, retryable
from modelyard_runtime.inbox import claims_kept, forget_claims
from modelyard_runtime.tables import INBOX, OUTBOX


def requested(reason: str = "test") -> TrainingRunRequested:
    return TrainingRunRequested(
        event_id=uuid4(),
        occurred_at=system_clock(),
        correlation_id=uuid4(),
        model="m",
        requested_by="me",
        reason=reason,
    )


def count(database: Database, table: Table) -> int:
    with database.read() as connection:
        return len(connection.execute(select(table)).all())


def test_an_event_is_claimed_once_per_consumer(database: Database) -> None:
    event = uuid4()
    with database.transaction() as tx:
        assert tx.inbox.claim("registry", event)
        assert not tx.inbox.claim("registry", event)
    with database.transaction() as tx:
        assert not tx.inbox.claim("registry", event)
        assert tx.inbox.claim("trainer", event)


def test_a_claim_that_is_rolled_back_can_be_made_again(database: Database) -> None:
    event = uuid4()
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        assert tx.inbox.claim("registry", event)
        raise ZeroDivisionError
    with database.transaction() as tx:
        assert tx.inbox.claim("registry", event)


def test_of_many_threads_one_claims(database: Database) -> None:
    events = [uuid4() for _ in range(20)]
    together = threading.Barrier(4)

    def claim_all() -> int:
        together.wait()
        won = 0
        for event in events:
            with database.transaction() as tx:
                won += tx.inbox.claim("registry", event)
        return won

    with ThreadPoolExecutor(4) as threads:
        won = [future.result() for future in [threads.submit(claim_all) for _ in range(4)]]
    assert sum(won) == 20
    assert count(database, INBOX) == 20


def test_a_concurrent_claim_takes_over_when_the_first_is_rolled_back(database: Database) -> None:
    event, claimed, answers = uuid4(), threading.Event(), []

    def second() -> None:
        claimed.wait()
        with database.transaction() as tx:
            answers.append(tx.inbox.claim("registry", event))

    other = threading.Thread(target=second)
    other.start()
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        assert tx.inbox.claim("registry", event)
        claimed.set()
        other.join(0.3)  # it waits for us
        assert answers == []
        raise ZeroDivisionError
    other.join(20)
    assert answers == [True]


def test_claims_are_forgotten_once_the_broker_cannot_deliver_the_event_again(database: Database) -> None:
    clock = FakeClock()
    database = Database(database.engine, clock)
    old, new = [uuid4() for _ in range(2_500)], uuid4()
    with database.transaction() as tx:
        for event in old:
            tx.inbox.claim("registry", event)
    clock.advance(claims_kept().total_seconds())
    with database.transaction() as tx:
        tx.inbox.claim("registry", new)
    assert forget_claims(database, claims_kept()) == 0
    clock.advance(1)
    assert forget_claims(database, claims_kept()) == 2_500
    assert forget_claims(database, claims_kept()) == 0
    with database.transaction() as tx:
        assert not tx.inbox.claim("registry", new)


def test_forgetting_that_is_broken_off_goes_on_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    database = Database(database.engine, clock)
    with database.transaction() as tx:
        for _ in range(1_500):
            tx.inbox.claim("registry", uuid4())
    clock.advance(timedelta(days=400).total_seconds())
    whole = database.transaction

    def once() -> Any:
        assert count(database, INBOX) == 1_500, "killed"
        return whole()

    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="killed"):
        patch.setattr(database, "transaction", once)
        forget_claims(database, claims_kept())
    assert count(database, INBOX) == 500
    assert forget_claims(database, claims_kept()) == 500


def test_an_event_is_queued_with_the_change_or_not_at_all(database: Database) -> None:
    woken = []
    database.on_queued(lambda: woken.append(True))
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        tx.outbox.add(requested(), key="m")
        raise ZeroDivisionError
    assert (count(database, OUTBOX), woken) == (0, [])

    with database.transaction() as tx:
        tx.outbox.add(requested(), key="m")
    with database.transaction() as tx:
        tx.connection.execute(text("INSERT INTO things (name, value) VALUES ('a', 1)"))
    assert (count(database, OUTBOX), woken) == (1, [True])


def test_an_event_too_large_for_its_topic_is_refused_before_it_blocks_the_outbox(database: Database) -> None:
    with pytest.raises(MessageTooLarge, match=r"training\.run\.requested\.v1 takes"), database.transaction() as tx:
        tx.outbox.add(requested("x" * 2_000_000), key="m")
    assert count(database, OUTBOX) == 0


def test_writers_in_many_threads_wait_for_each_other(database: Database) -> None:
    """SQLite: a transaction that read first and then writes must not fail because another wrote meanwhile."""
    with database.transaction() as tx:
        tx.connection.execute(text("INSERT INTO things (name, value) VALUES ('n', 0)"))

    def add_many() -> None:
        for _ in range(25):
            with database.transaction() as tx:
                select_it = text(
                    "SELECT value FROM things WHERE name = 'n'"
                    + ("" if tx.connection.dialect.name == "sqlite" else " FOR UPDATE")
                )
                value = tx.connection.execute(select_it).scalar_one()
                tx.connection.execute(text("UPDATE things SET value = :v WHERE name = 'n'"), {"v": value + 1})

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(add_many) for _ in range(4)]:
            future.result()
    with database.read() as connection:
        assert connection.execute(text("SELECT value FROM things")).scalar_one() == 100


def test_many_may_open_a_new_file_at_the_same_moment(tmp_path: Path) -> None:
    """Each connection switches the file to its write-ahead log: SQLite reports "locked" to the second at once."""

    def opened(url: str, together: threading.Barrier) -> str:
        engine = open_engine(url)
        together.wait()
        with engine.begin() as connection:
            mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
        engine.dispose()
        return str(mode)

    with ThreadPoolExecutor(4) as pool:
        for number in range(100):
            together = threading.Barrier(4, timeout=30)
            url = f"sqlite:///{tmp_path}/{number}.db"
            assert [each.result() for each in [pool.submit(opened, url, together) for _ in range(4)]] == ["wal"] * 4


def test_moments_come_back_as_they_went_in_and_in_utc(database: Database) -> None:
    metadata = MetaData()
    moments = Table("moments", metadata, Column("at", UtcDateTime))
    metadata.create_all(database.engine)
    at = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with database.transaction() as tx:
        tx.connection.execute(insert(moments).values(at=at))
    with database.read() as connection:
        [found] = connection.execute(select(moments.c.at)).scalars()
    assert found == at
    assert found.tzinfo is UTC
    with pytest.raises(Exception, match="needs its zone"), database.transaction() as tx:
        tx.connection.execute(insert(moments).values(at=datetime(2026, 3, 1)))


def test_the_tables_are_added_once() -> None:
    metadata = MetaData()
    metadata_tables(metadata)
    metadata_tables(metadata)
    assert set(metadata.tables) == {"outbox", "inbox"}


@pytest.mark.parametrize(
    ("url", "says"),
    [("nonsense", "no URL"), ("mysql://x/y", "mysql is not supported"), ("sqlite://", "give a file")],
)
def test_an_unfit_url_is_refused_in_words(url: str, says: str) -> None:
    with pytest.raises(StartupError, match=says):
        open_engine(url)


@pytest.mark.usefixtures("loopback")
def test_a_database_that_is_away_is_retryable() -> None:
    database = Database(open_engine("postgresql://unknown@127.0.0.1:1/none"), system_clock)
    with pytest.raises(DatabaseAway) as caught, database.transaction():
        pass
    assert isinstance(caught.value, Retryable)


WRONG = [
    "SELECT * FROM nowhere",
    "SELECT nothing FROM things",
    "SELEC 1",
    "SELECT no_such_function(1)",
    "INSERT INTO things (name) VALUES ('a', 'b')",
    "SELECT name FROM things ORDER BY 5",
    "CREATE TABLE things (name text)",
    "SELECT " + " + ".join(["1"] * 20_000),
]


@pytest.mark.parametrize("statement", WRONG, ids=lambda text: text[:30])
def test_a_wrong_statement_is_not_retryable(database: Database, statement: str) -> None:
    """SQLite reports most of them as an operational error, as it does a locked or a full database."""
    if statement == WRONG[-1] and database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL takes it")
    with pytest.raises(Exception) as caught, database.transaction() as tx:
        tx.connection.execute(text(statement))
    assert not isinstance(caught.value, Retryable)
    assert not named(caught.value), "it stops the partition, and is no dead letter"


def test_no_free_connection_is_retryable_and_named(database: Database) -> None:
    engine = create_engine(database.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    small = Database(engine, system_clock)
    with (
        small.read(),
        pytest.raises(DatabaseBusy, match="no free connection to the database in") as caught,
        small.read(),
    ):
        pass
    assert retryable(caught.value)
    with small.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    small.close()


def test_a_locked_database_is_retryable(database: Database) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL locks rows")
    impatient = create_engine(database.engine.url, connect_args={"timeout": 0.05})
    with (
        database.transaction(),
        pytest.raises(DatabaseAway, match="locked"),
        Database(impatient, system_clock).read() as c,
    ):
        c.exec_driver_sql("BEGIN IMMEDIATE")


def test_a_full_database_is_retryable_names_its_folder_and_loses_nothing(database: Database) -> None:
    """SQLite says of its own limit of pages what it says of a full disk."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has no such limit")

    def write(rows: int) -> None:
        with database.transaction() as tx:
            raw: Any = tx.connection.connection.driver_connection
            [pages] = raw.execute("PRAGMA page_count").fetchone()
            raw.execute(f"PRAGMA max_page_count={pages + (1_000 if rows == 1 else 1)}")
            for _ in range(rows):
                tx.connection.execute(text("INSERT INTO things (name, value) VALUES (:n, 1)"), {"n": uuid4().hex * 30})

    write(1)
    with pytest.raises(DatabaseUnwritable, match="free disk space") as full:
        write(100)
    assert retryable(full.value)
    assert str(Path(str(database.engine.url.database)).parent) in str(full.value)
    write(1)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM things")).scalar_one() == 2
