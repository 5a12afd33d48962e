"""Producer ids and transactions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from modelyard_devkafka.errors import Code, Refused, StorageFailed
from modelyard_devkafka.groups.offsets import Committed, Offsets, Where
from modelyard_devkafka.storage.journal import Journal, Key
from modelyard_devkafka.storage.partition import now_ms
from modelyard_devkafka.topics import Topics

MAX_TIMEOUT_MS: Final = 900_000
_LAST_EPOCH: Final = 32_766  # one epoch is reserved for fencing
_ID_BLOCK: Final = 1000
EXPIRATION_MS: Final = 7 * 24 * 3600 * 1000  # Kafka's transactional.id.expiration.ms


class State(StrEnum):
    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


_PREPARED: Final = (State.PREPARE_COMMIT, State.PREPARE_ABORT)


@dataclass
class Transaction:
    """State of one transactional id; each change is stored before it is acknowledged."""

    id: str
    producer_id: int
    epoch: int
    timeout_ms: int
    state: State = State.EMPTY
    started_ms: int = 0
    changed_ms: int = 0
    partitions: set[Where] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    offsets: dict[str, dict[Where, Committed]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        offsets = {group: [[*where, list(o)] for where, o in kept.items()] for group, kept in self.offsets.items()}
        return {**vars(self), "partitions": sorted(self.partitions), "groups": sorted(self.groups), "offsets": offsets}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Transaction:
        offsets = {
            group: {(topic, index): Committed(*o) for topic, index, o in entries}
            for group, entries in kept["offsets"].items()
        }
        partitions = {(topic, index) for topic, index in kept["partitions"]}
        given = {"partitions": partitions, "groups": set(kept["groups"]), "offsets": offsets}
        return cls(**{**kept, **given, "state": State(kept["state"])})


class Transactions:
    """The transaction coordinator."""

    def __init__(self, journal: Journal, topics: Topics, offsets: Offsets) -> None:
        self._journal, self._topics, self._offsets = journal, topics, offsets
        self._next_id = self._last_id = int(journal.get("producer-ids") or 0)
        self._by_id = {str(name): Transaction.from_json(kept) for (_, name), kept in journal.items("transaction")}
        self._by_producer = {txn.producer_id: txn for txn in self._by_id.values()}

    def load(self) -> None:
        """After a start, finish transactions that were ending, and restore pending offsets."""
        for txn in self._by_id.values():
            for group, kept in txn.offsets.items():
                self._offsets.hold(group, kept, txn.producer_id)
            if txn.state in _PREPARED:
                self._finish(txn)

    # Producer ids

    def new_producer(self) -> int:
        """Return a new producer id. Ids are reserved in blocks; a restart starts a new block."""
        if self._next_id >= self._last_id:
            self._journal.put((("producer-ids",), self._next_id + _ID_BLOCK))
            self._last_id = self._next_id + _ID_BLOCK
        self._next_id += 1
        return self._next_id - 1

    def begin_session(self, transactional_id: str, timeout_ms: int) -> tuple[int, int]:
        """Return producer id and epoch for a starting producer; fences the previous holder and aborts its work."""
        if not transactional_id:
            raise Refused(Code.INVALID_REQUEST, "the transactional id is empty")
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
            raise Refused(Code.INVALID_TRANSACTION_TIMEOUT, f"transaction timeout {timeout_ms}: 1 to {MAX_TIMEOUT_MS}")
        txn = self._by_id.get(transactional_id)
        if txn is None:
            txn = Transaction(transactional_id, self.new_producer(), -1, timeout_ms)
        elif txn.state is State.ONGOING:
            self._abandon(txn)
        if txn.state in _PREPARED:
            raise Refused(Code.CONCURRENT_TRANSACTIONS)
        self._next_epoch(txn)
        txn.timeout_ms, txn.state = timeout_ms, State.EMPTY
        self._store(txn)
        self._by_id[txn.id] = self._by_producer[txn.producer_id] = txn
        return txn.producer_id, txn.epoch

    def _next_epoch(self, txn: Transaction) -> None:
        if txn.epoch >= _LAST_EPOCH:
            self._by_producer.pop(txn.producer_id, None)
            txn.producer_id, txn.epoch = self.new_producer(), 0
        else:
            txn.epoch += 1

    # One transaction

    def _of(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        txn = self._by_id.get(transactional_id)
        if txn is None or txn.producer_id != producer_id:
            raise Refused(Code.INVALID_PRODUCER_ID_MAPPING)
        if txn.epoch != epoch:
            raise Refused(Code.PRODUCER_FENCED)
        if txn.state in _PREPARED:
            raise Refused(Code.CONCURRENT_TRANSACTIONS)
        return txn

    def add_partitions(self, transactional_id: str, producer_id: int, epoch: int, wheres: Iterable[Where]) -> None:
        """Add existing partitions to the transaction. Raises Refused."""
        txn = self._of(transactional_id, producer_id, epoch)
        if txn.state is State.ONGOING and txn.partitions.issuperset(wheres):
            return
        self._begin(txn)
        txn.partitions.update(wheres)
        self._store(txn)

    def add_group(self, transactional_id: str, producer_id: int, epoch: int, group_id: str) -> None:
        txn = self._of(transactional_id, producer_id, epoch)
        self._begin(txn)
        txn.groups.add(group_id)
        self._store(txn)

    def _begin(self, txn: Transaction) -> None:
        if txn.state is not State.ONGOING:
            txn.state, txn.started_ms = State.ONGOING, now_ms()
            txn.partitions, txn.groups, txn.offsets = set(), set(), {}

    def add_offsets(
        self, transactional_id: str, producer_id: int, epoch: int, group_id: str, offsets: dict[Where, Committed]
    ) -> None:
        """Store offsets that take effect when the transaction commits."""
        txn = self._of(transactional_id, producer_id, epoch)
        if txn.state is not State.ONGOING or group_id not in txn.groups:
            raise Refused(Code.INVALID_TXN_STATE)
        txn.offsets.setdefault(group_id, {}).update(offsets)
        self._store(txn)
        self._offsets.hold(group_id, offsets, producer_id)

    def check_write(self, producer_id: int, epoch: int, where: Where) -> None:
        """Raises Refused unless a transactional batch belongs to an open transaction of its producer."""
        txn = self._by_producer.get(producer_id)
        if txn is None:
            raise Refused(Code.INVALID_PRODUCER_ID_MAPPING)
        if txn.epoch != epoch:
            raise Refused(Code.INVALID_PRODUCER_EPOCH)
        if txn.state is not State.ONGOING or where not in txn.partitions:
            raise Refused(Code.INVALID_TXN_STATE)

    def end(self, transactional_id: str, producer_id: int, epoch: int, *, committed: bool) -> None:
        """Commit or abort; idempotent for the same outcome. Raises Refused."""
        txn = self._of(transactional_id, producer_id, epoch)
        if txn.state is (State.COMPLETE_COMMIT if committed else State.COMPLETE_ABORT):
            return
        if txn.state is not State.ONGOING:
            raise Refused(Code.INVALID_TXN_STATE)
        self._end(txn, State.PREPARE_COMMIT if committed else State.PREPARE_ABORT)

    def _abandon(self, txn: Transaction) -> None:
        """Abort with the next epoch, which fences the producer."""
        txn.epoch += 1
        self._end(txn, State.PREPARE_ABORT)

    def _end(self, txn: Transaction, prepared: State) -> None:
        before, txn.state = txn.state, prepared
        try:
            self._store(txn)
        except StorageFailed:
            txn.state = before
            raise
        self._finish(txn)

    def _finish(self, txn: Transaction) -> None:
        """Write the remaining markers. Repeated after a failure or a restart: markers may repeat."""
        committed = txn.state is State.PREPARE_COMMIT
        for topic, index in sorted(txn.partitions):
            if self._topics.exists(topic, index):
                self._topics.partition(topic, index).end_transaction(txn.producer_id, txn.epoch, committed=committed)
        offsets, txn.offsets = txn.offsets, {}
        partitions, txn.partitions = txn.partitions, set()
        before, txn.state = txn.state, State.COMPLETE_COMMIT if committed else State.COMPLETE_ABORT
        facts: list[tuple[Key, object]] = []
        for group, kept in offsets.items() if committed else ():
            facts += self._offsets.facts(group, kept)
        try:
            self._store(txn, *facts)
        except StorageFailed:
            txn.state, txn.offsets, txn.partitions = before, offsets, partitions
            raise
        for group, kept in offsets.items():
            self._offsets.release(group, kept, txn.producer_id)
            if committed:
                self._offsets.take(group, kept)

    def _store(self, txn: Transaction, *more: tuple[Key, object]) -> None:
        txn.changed_ms = now_ms()
        self._journal.put((("transaction", txn.id), txn.to_json()), *more)

    # Time

    def sweep(self) -> None:
        """Abort expired transactions, and finish those with unwritten markers."""
        now = now_ms()
        for txn in list(self._by_id.values()):
            try:
                if txn.state in _PREPARED:
                    self._finish(txn)
                elif txn.state is State.ONGOING and now > txn.started_ms + txn.timeout_ms:
                    self._abandon(txn)
            except StorageFailed:
                continue  # the next sweep tries again

    def expire(self) -> None:
        """Expire transactional ids unused for a week."""
        oldest = now_ms() - EXPIRATION_MS
        old = [txn for txn in self._by_id.values() if txn.state is not State.ONGOING and txn.changed_ms < oldest]
        self._journal.remove([("transaction", txn.id) for txn in old])
        for txn in old:
            del self._by_id[txn.id]
            self._by_producer.pop(txn.producer_id, None)
