"""The check in front of every reader of control events, with its reports."""

import logging
from collections.abc import Callable
from typing import Final

from modelyard_runtime.health import Readiness
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.signing.frame import Record
from modelyard_runtime.signing.trust import NotSigned, Trust

CHECK: Final = "signatures"
UNCHECKED: Final = "events are not checked; set MODELYARD_TRUST_FILE"
log = logging.getLogger(__name__)


class Gate:
    """Refuses records without a writer's signature, counts them, and reports them in the readiness.

    trust: None checks nothing, and the readiness reports that. A refused record never makes a service unready: anybody
    who can write to the topic could do that.
    """

    def __init__(self, service: str, trust: Callable[[], Trust] | None, readiness: Readiness | None = None) -> None:
        self._trust, self._readiness = trust, readiness or Readiness()
        self._refused = Metrics(service).counter(
            "events_not_signed_total", "Events refused as no writer of their topic signed them", ("topic",)
        )
        self._total = 0
        self._readiness.set(CHECK, True, UNCHECKED if trust is None else "")

    @property
    def checks(self) -> bool:
        """Whether signatures are checked at all."""
        return self._trust is not None

    def check(self, record: Record) -> None:
        """NotSigned if the record must not be applied."""
        if self._trust is None:
            return
        try:
            self._trust().check(record)
        except NotSigned as error:
            self._report(record, error)
            raise

    def _report(self, record: Record, error: NotSigned) -> None:
        self._refused.labels(record.topic).inc()
        self._total += 1
        if self._total.bit_count() == 1:  # the 1st, 2nd, 4th, 8th: a flood does not fill the log
            log.warning("%r refused, %d so far: %s", record, self._total, error)
        self._readiness.set(CHECK, True, f"{self._total} events refused, the last: {record!r}: {error}")
