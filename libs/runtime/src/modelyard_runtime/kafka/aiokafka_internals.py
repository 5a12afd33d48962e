"""Everything that needs more of aiokafka than its public API, with the reason, and the public path besides.

Written for the versions in VERSIONS. With any other version, or a layout that differs (`layout_problems`), every
function here takes the public path: slower, or with the weaker promise that its docstring names. A test fails then, so
that the private paths are checked against the new version.
"""

import asyncio
import copy
import dis
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalGenerationError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.metadata import MetadataRequest

from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import Unavailable

VERSIONS: Final = ("0.14.0",)
"""Versions whose private layout was read and tested."""
NO_ROWS: Final[Sequence[Any]] = ()
STOP_TIMEOUT_S: Final = 5.0
log = logging.getLogger(__name__)


@cache
def layout_problems() -> tuple[str, ...]:
    """What of the private layout is not as expected; empty when all of it is."""
    from aiokafka import client, conn
    from aiokafka.consumer import fetcher, group_coordinator

    problems = [] if aiokafka.__version__ in VERSIONS else [f"version {aiokafka.__version__} is not in {VERSIONS}"]
    uses = {
        AIOKafkaConsumer: ("_coordinator", "_fetcher"),
        AIOKafkaProducer: ("_closed",),
        AIOKafkaAdminClient: ("_send_request",),
        fetcher.Fetcher: ("_client", "_records", "end_offsets"),
        fetcher.FetchResult: ("_partition_records",),
        fetcher.PartitionRecords: ("_records", "_consumer_record", "next_fetch_offset"),
        group_coordinator.GroupCoordinator: (
            "_do_commit_offsets",
            "check_errors",
            "fetch_committed_offsets",
            "generation",
        ),
    }
    for owner, names in uses.items():
        problems += [f"{owner.__name__}.{name} is missing" for name in names if not _has(owner, name)]
    if not hasattr(client, "ConnectionGroup"):
        problems.append("aiokafka.client.ConnectionGroup is missing")
    problems += [
        f"aiokafka.conn.{name} is missing" for name in ("collect_hosts", "create_conn") if not hasattr(conn, name)
    ]
    return tuple(problems)


def _has(owner: Any, name: str) -> bool:
    """Whether a class has the attribute, or any of its methods sets it on an instance."""
    if hasattr(owner, name):
        return True
    methods = [found for found in vars(owner).values() if hasattr(found, "__code__")]
    steps = (step for method in methods for step in dis.get_instructions(method))
    return any(step.opname == "STORE_ATTR" and step.argval == name for step in steps)


# -- fetching ----------------------------------------------------------------------------------------------------------


def read_in_bulk(client: Any) -> None:
    """Make `getmany` of a started AIOKafkaConsumer return, and count, whole parsed batches; read them with `rows`.

    Reason: aiokafka makes a ConsumerRecord of each record in Python, at several microseconds each; its record batches
    are parsed in C at a third of one. Checksums, aborted transactions, control batches and the position stay
    aiokafka's: it is given whole batches in the place of records. Public path: `getmany` returns records.
    """
    if layout_problems():
        log.warning("aiokafka has another layout, so records are read one at a time: %s", layout_problems())
        return
    fetcher = client._fetcher
    fetcher._records = FetchedInBulk(fetcher._records)


def rows(fetched: Iterable[Any]) -> list[Any]:
    """The records of a `getmany` for one partition, in bulk or not: offset, timestamp, key, value, headers each."""
    found: list[Any] = []
    for item in fetched:
        if type(item) is Batch:
            found.extend(item.rows)
        else:
            found.append(item)
    return found


class Batch:
    """The records of one batch, in the place of a record."""

    __slots__ = ("offset", "rows")

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows
        self.offset = rows[-1].offset

    def since(self, offset: int) -> "Batch":
        """Without the records before `offset`: a broker sends whole batches."""
        return self if self.rows[0].offset >= offset else Batch([row for row in self.rows if row.offset >= offset])


class FetchedInBulk(OrderedDict[Any, Any]):
    """Results of fetches by partition; each gives whole batches, which `rows` reads."""

    def __setitem__(self, partition: Any, result: Any) -> None:
        from aiokafka.consumer.fetcher import FetchResult

        if type(result) is FetchResult:
            found = result._partition_records
            found._records = _Batches(found._records)
            # Called before the position moves past the batch.
            found._consumer_record = lambda _, batch: batch.since(found.next_fetch_offset)
        super().__setitem__(partition, result)


class _Batches:
    """aiokafka's MemoryRecords whose batches hold one record each: themselves."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.has_next = records.has_next

    def next_batch(self) -> "_Parsed":
        return _Parsed(self._records.next_batch())


class _Parsed:
    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Batch]:
        found = list(self._batch)
        return iter([Batch(found)] if found else [])


# -- offsets -----------------------------------------------------------------------------------------------------------


def commit_as_member_only(client: Any) -> None:
    """Refuse commits of a started AIOKafkaConsumer once it was evicted from its group.

    Reason: aiokafka forgets its member id when it learns of the eviction, and commits without one; after the other
    members have left, a broker accepts that as an offset set by hand, and the group goes back to it. Public path: none,
    so the check is left out; such a commit can repeat records, and cannot lose any.
    """
    if layout_problems():
        return
    coordinator = client._coordinator
    commit = coordinator._do_commit_offsets

    async def commit_as_member(assignment: Any, offsets: Any) -> None:
        if coordinator.generation < 0 or not assignment.active:
            raise IllegalGenerationError(coordinator.group_id)
        await commit(assignment, offsets)

    coordinator._do_commit_offsets = commit_as_member


async def committed_offset(client: Any, bootstrap: Bootstrap, group: str, partition: TopicPartition) -> Any:
    """The group's committed offset with its metadata (`.offset`, `.metadata`), from the broker; None without one.

    Reason: `AIOKafkaConsumer.committed` drops the metadata. Public path: an admin client, which connects anew.
    """
    if not layout_problems():
        found = await client._coordinator.fetch_committed_offsets([partition])
        return found.get(partition)
    admin = AIOKafkaAdminClient(**client_settings(bootstrap))
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group, partitions=[partition])
    finally:
        await admin.close()
    offset = found.get(partition)
    return None if offset is None or offset.offset < 0 else offset


async def end_offsets(client: Any, partitions: Sequence[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
    """The ends of partitions, from the broker; TimeoutError or KafkaError without an answer.

    Reason: a broker answers the requests of one connection in order, so on the connection of fetches the question waits
    until an open fetch ends, half a second when there are no records. Here it goes by the connection of the group.
    Public path: `AIOKafkaConsumer.end_offsets`, which waits.
    """
    if layout_problems():
        return await asyncio.wait_for(client.end_offsets(partitions), timeout_s)
    fetcher = copy.copy(client._fetcher)
    fetcher._client = _BesideFetches(fetcher._client)
    found: dict[TopicPartition, int] = await fetcher.end_offsets(partitions, int(timeout_s * 1000))
    return found


class _BesideFetches:
    """aiokafka's client, sending on the connection of the group."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any) -> Any:
        from aiokafka.client import ConnectionGroup

        return await self._client.send(node_id, request, group=ConnectionGroup.COORDINATION)


def group_error(client: Any) -> Exception | None:
    """The error that ended a subscribed consumer's membership of its group, such as a missing right; None if none did.

    Reason: `getmany` raises it, but a member without partitions has no call of `getmany` in progress. Public path:
    none, so such a consumer waits without a report.
    """
    if layout_problems():
        return None
    try:
        client._coordinator.check_errors()
    except Exception as error:
        return error
    return None


# -- connecting --------------------------------------------------------------------------------------------------------


async def connection_error(bootstrap: Bootstrap, timeout_s: float) -> Exception | None:
    """Connect, sign in and ask for the brokers once; return why none allows it, None if one does.

    Reasons: a client that finds no broker logs each reason and raises only that there is none; and it takes the answer
    to a refused bearer token for that of a cluster without brokers, and waits for ever. Public path: none.
    """
    if layout_problems():
        return None
    from aiokafka.conn import collect_hosts, create_conn

    settings = client_settings(bootstrap)
    problem: Exception | None = None
    for host, port, _ in collect_hosts(settings.pop("bootstrap_servers")):
        try:
            async with asyncio.timeout(timeout_s):
                connection = await create_conn(host, port, **settings)
                try:
                    answer = await connection.send(MetadataRequest([]))
                finally:
                    connection.close()
            if not answer.brokers:
                raise SaslAuthenticationFailed("no brokers in the answer")
        except (KafkaError, OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            problem = error
        else:
            return None
    return problem


async def create_acls(admin: Any, rows: Iterable[tuple[Any, ...]]) -> list[tuple[int, str | None]]:
    """Add access rights: resource type, name, pattern, principal, host, operation, permission, as Kafka numbers them.

    Returns the error code and text of each. Reason: the admin client has no method for it, and aiokafka's request holds
    one right. Public path: none; the commands of Kafka's own tool do the same.
    """
    if layout_problems():
        raise Unavailable("this version of aiokafka cannot add access rights; use Kafka's own tool, kafka-acls.sh")
    answer = await admin._send_request(_CreateAcls(list(rows)))
    return [(int(code), text) for code, text in answer.creation_responses]


class _CreateAcls(CreateAclsRequest):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._rows)


# -- stopping a producer -----------------------------------------------------------------------------------------------


async def stop_producer(client: Any, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Send the queued records and close a producer; give up after `timeout_s`.

    Reason for the private path: a producer that could not be closed warns when it is collected, unless it is marked.
    Public path: the warning stays.
    """
    try:
        await asyncio.wait_for(client.stop(), timeout_s)
    except Exception:
        _mark_closed(client)


def _mark_closed(client: Any) -> None:
    if not layout_problems():
        client._closed = True
