"""What the monitor needs from outside: manifests, a producer, and the stored rows that reports are made from."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Protocol

from modelyard_contracts import Message
from modelyard_monitor.domain.alert_list import AlertScope
from modelyard_monitor.domain.reports import ConsumerLag
from modelyard_monitor.domain.timelines import TimelineScope
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


class AlarmRows(Protocol):
    """Stored alarms and errors; every call blocks, and raises Retryable while the database is away."""

    def performance_events(self, model: str) -> list[Row]: ...

    def champions(self, model: str) -> list[Row]: ...

    def errors_until(self, scope: dict[str, Any], subject: str, moment: datetime, limit: int) -> list[Row]:
        """Return `at` and `error` of labelled rows, newest first. scope: model, version, digest and variant."""

    def errors_after(self, scope: dict[str, Any], subject: str, moment: datetime, limit: int) -> list[Row]: ...


class TrafficRows(Protocol):
    """Stored traffic; every call blocks, and raises Retryable while the database is away. workspaces: None for all."""

    def models(
        self, since: datetime, workspaces: Collection[str] | None, limit: int, names: Collection[str] = ()
    ) -> list[Row]: ...

    def labels(self, since: datetime, workspaces: Collection[str] | None, names: Collection[str]) -> list[Row]: ...

    def buckets(self, model: str, since: datetime, bucket_s: int, route: str) -> list[Row]: ...

    def labelled_buckets(self, model: str, since: datetime, bucket_s: int, route: str) -> list[Row]: ...


class AlertRows(Protocol):
    """Stored drifts and alerts; blocks, and raises Retryable while the database is away."""

    def newest(self, scope: AlertScope, limit: int) -> list[Row]: ...


class TimelineRows(Protocol):
    """Stored timelines; every call blocks, and raises Retryable while the database is away."""

    def newest(self, scope: TimelineScope, limit: int) -> list[Row]: ...


class PredictionRows(Protocol):
    """Stored predictions by their id; every call blocks, and raises Retryable while the database is away."""

    def predictions(self, prediction_id: str, model: str, workspaces: Collection[str] | None) -> list[Row]: ...

    def labels(self, prediction_id: str) -> list[Row]: ...


class RejectedRows(Protocol):
    """Stored labels that do not match; every call blocks, and raises Retryable while the database is away."""

    def reasons(self, model: str, since: datetime) -> list[Row]: ...

    def texts(self, model: str, since: datetime, limit: int) -> list[Row]: ...


class UnseenRows(Protocol):
    """Values of stored predictions; blocks, and raises Retryable while the database is away."""

    def values(self, sql: str) -> list[Row]:
        """Return `value` and `rows` of a query from UnseenScope."""


class BinRows(Protocol):
    """Counts over the bins of reference profiles; blocks, and raises Retryable while the database is away."""

    def references(self, model: str, version: int | None, feature: str | None) -> list[Row]: ...

    def counts(
        self, model: str, since: datetime, bucket_s: int, version: int | None, feature: str | None
    ) -> list[Row]: ...


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

    def quality(self, model: str, since: datetime, bucket_s: int) -> list[Row]:
        """Return labels, wrong votes and wrong answers per interval and version."""


class Consumer(Protocol):
    """A consumer that reports its progress."""

    async def state(self) -> ConsumerLag: ...
