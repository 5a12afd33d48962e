"""The most frequent values that the training data did not have, of an alarm about them."""

from modelyard_contracts.inference.errors import shown
from modelyard_monitor.domain.ports import Manifests, UnseenRows
from modelyard_monitor.domain.reports import RecordedEvent
from modelyard_monitor.domain.unseen_values import UnseenScope, UnseenValue
from modelyard_runtime.errors import Retryable


class UnseenValues:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: UnseenRows, manifests: Manifests) -> None:
        self._rows = rows
        self._manifests = manifests

    def of(self, event: RecordedEvent) -> tuple[UnseenValue, ...]:
        """Return the values in the stored rows of an alarm's window, most frequent first; () for any other event.

        Also () while the registry is away: the alarm is shown without them.
        """
        scope = UnseenScope.of(event)
        if scope is None:
            return ()
        try:
            manifest = self._manifests.find((scope.model, scope.version, scope.digest)).manifest
        except Retryable:
            return ()
        sql = scope.sql(manifest) if manifest else ""
        found = self._rows.values(sql) if sql else []
        return tuple(UnseenValue(value=shown(row["value"]), rows=row["rows"]) for row in found)
