"""What the monitor needs from outside: manifests, a producer, and the stored rows that reports are made from."""

from datetime import datetime
from typing import Any, Protocol

from modelyard_contracts import Message
from modelyard_monitor.domain.reports import ConsumerLag
from modelyard_monitor.domain.votes import Cursor
from modelyard_monitor.domain.watching import Lookup, Version

Row = dict[str, Any]


class Manifests(Protocol):
    """Source of reference profiles."""

    def find(self, version: Version) -> Lookup:
        """Return the manifest whose bytes have this digest; raise Retryable when the answer is not available now."""


class Sender(Protocol):
    """The part of modelyard_runtime.kafka.Producer in use."""

    async def send(self, message: Message, key: str | None = None) -> None: ...


class ReportRows(Protocol):
    """Stored rows of the reports; every call blocks, and raises Retryable while the database is away."""

    def predictions(self, model: str, since: datetime, route: str) -> list[Row]: ...

    def labels(self, model: str, since: datetime, route: str) -> list[Row]: ...

    def unusable(self, model: str, since: datetime) -> list[Row]: ...

    def bins(self, model: str, window_s: int) -> list[Row]: ...

    def drift(self, model: str, limit: int) -> list[Row]: ...

    def timeline(self, correlation_id: str) -> list[Row]: ...

    def event(self, event_id: str) -> list[Row]: ...

    def stored(self) -> list[Row]: ...


class VoteRows(Protocol):
    """Stored votes; every call blocks, and raises Retryable while the database is away."""

    def ends(self, after: Cursor | None) -> tuple[dict[int, int], dict[int, int]]:
        """Return the newest offset and the newest round of late joins per partition, not before `after`."""

    def labels(self, model: str, after: Cursor, until: Cursor, limit: int) -> list[Row]:
        """Return the labels of a model between two cursors, in order, at most `limit` per partition.

        Each has _partition, _offset, wrong, absolute_error and votes.
        """

    def late_labels(self, model: str, after: Cursor, until: Cursor) -> list[Row]:
        """Return the labels that were joined in the rounds between two cursors."""

    def calls(self, model: str, since: datetime) -> list[Row]:
        """Return calls per version."""


class Consumer(Protocol):
    """A consumer that reports its progress."""

    async def state(self) -> ConsumerLag: ...
