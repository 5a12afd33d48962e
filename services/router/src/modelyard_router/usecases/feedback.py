"""Accept labels for earlier predictions."""

import time
from collections.abc import Callable

import msgspec

from modelyard_router.domain.counters import Counters
from modelyard_router.domain.feedback import Label, read_labels
from modelyard_router.domain.ports import PredictionLog
from modelyard_router.domain.records import FEEDBACK, encode_feedback
from modelyard_router.domain.requests import Call, Reply
from modelyard_router.usecases.ids import new_id

WorkspaceOf = Callable[[str | None], str]
"""Returns the workspace whose predictions a caller may label: of the named model, or of labels that name none."""


class Feedback:
    """For one event loop. now_us: microseconds since 1970."""

    def __init__(
        self,
        log: PredictionLog,
        counters: Counters,
        *,
        max_rows: int,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._log, self._counters, self._max_rows, self._now_us = log, counters, max_rows, now_us

    async def accept(self, body: bytes, call: Call, workspace_of: WorkspaceOf) -> Reply:
        """Store all labels of a request or none; 202 once they are in the log."""
        labels = read_labels(body, self._max_rows)
        workspaces = {model: workspace_of(model) for model in {label.model for label in labels}}
        now_us = self._now_us()
        records = [(label.prediction_id.encode(), _record(label, workspaces[label.model], now_us)) for label in labels]
        self._log.append_all(FEEDBACK, records, call.trace)
        await self._log.synced()
        self._counters.feedback_items += len(labels)
        return 202, [(b"content-type", b"application/json")], msgspec.json.encode({"accepted": len(labels)})


def _record(label: Label, workspace: str, now_us: int) -> bytes:
    occurred_us = now_us if label.occurred_at is None else int(label.occurred_at.timestamp() * 1_000_000)
    truth = (label.label, label.value, label.source)
    return encode_feedback(new_id(), occurred_us, label.prediction_id, *truth, workspace, label.model)
