"""A partition's state per idempotent producer: its epoch and its last five batches."""

from __future__ import annotations

from collections import deque
from typing import Final

from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.storage.batch import Header

REMEMBERED_BATCHES: Final = 5  # the number of batches a producer may have in flight
_NO_SEQUENCE: Final = -1


class Producers:
    """Sequence numbers per producer id, rebuilt from the log at the start."""

    def __init__(self) -> None:
        self._epoch: dict[int, int] = {}
        self._batches: dict[int, deque[tuple[int, int, int]]] = {}
        self._seen_ms: dict[int, int] = {}

    def check(self, batch: Header) -> int | None:
        """Return the base offset of this batch if it is already stored, None if it is the next one. Raises Refused."""
        epoch = self._epoch.get(batch.producer_id)
        if epoch is not None and batch.producer_epoch < epoch:
            raise Refused(Code.INVALID_PRODUCER_EPOCH, f"epoch {batch.producer_epoch} is older than {epoch}")
        if batch.base_sequence == _NO_SEQUENCE or epoch is None:
            return None
        known = self._batches.get(batch.producer_id) if epoch == batch.producer_epoch else None
        for first, last, offset in known or ():
            if (first, last) == (batch.base_sequence, batch.last_sequence):
                return offset
        expected = (known[-1][1] + 1) & 0x7FFFFFFF if known else 0
        if batch.base_sequence != expected:
            raise Refused(Code.OUT_OF_ORDER_SEQUENCE_NUMBER, f"sequence {batch.base_sequence}, expected {expected}")
        return None

    def note(self, batch: Header, now_ms: int) -> None:
        """Record a batch or a transaction marker that is in the log."""
        producer = batch.producer_id
        if self._epoch.get(producer) != batch.producer_epoch:
            self._epoch[producer] = batch.producer_epoch
            self._batches[producer] = deque(maxlen=REMEMBERED_BATCHES)
        self._seen_ms[producer] = now_ms
        if not batch.control and batch.base_sequence != _NO_SEQUENCE:
            self._batches[producer].append((batch.base_sequence, batch.last_sequence, batch.base_offset))

    def forget_before(self, oldest_ms: int) -> None:
        """Drop producers without writes since then; their next batch counts as their first."""
        for producer in [p for p, seen in self._seen_ms.items() if seen < oldest_ms]:
            del self._epoch[producer], self._batches[producer], self._seen_ms[producer]
