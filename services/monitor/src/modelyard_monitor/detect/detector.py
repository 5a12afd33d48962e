"""Apply one slice to the stored state of its model and send what it reveals; independent of Faust."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Final, TypeVar

from modelyard_contracts import AlertRaised, DriftDetected, SliceSummarised
from modelyard_contracts.manifest import ModelManifest
from modelyard_monitor.detect.slice_order import newest
from modelyard_monitor.detect.snapshot import Refused, Snapshots
from modelyard_monitor.domain.evidence import event_of
from modelyard_monitor.domain.findings import apply
from modelyard_monitor.domain.ports import Manifests, Sender
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.state import ModelState
from modelyard_runtime.errors import MessageTooLarge, Retryable
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

RETRY_S: Final = 2.0

T = TypeVar("T")


class Detector:
    """Applies slices to a table {model: state}. At-least-once delivery suffices: the state knows applied offsets."""

    def __init__(
        self,
        table: MutableMapping[bytes, bytes],
        snapshots: Snapshots,
        manifests: Manifests,
        sender: Sender,
        rules: Rules,
        database: str,
    ) -> None:
        self._table = table
        self._snapshots = snapshots
        self._manifests = manifests
        self._sender = sender
        self._rules = rules
        self._database = database

    async def handle(self, piece: SliceSummarised, place: tuple[int, int]) -> list[DriftDetected | AlertRaised]:
        """Apply a slice, send its events, then store the state with the slice's (partition, offset).

        A crash in between repeats the events under the same ids.
        """
        key = piece.model.encode()
        state = self._load(key)
        version = state.of(piece)
        if not version.is_new(piece.covers):
            return []
        manifest = await self._manifest(piece)
        found = apply(version, piece, manifest, self._rules, state.errors_before(piece), state.labels)
        events = [event_of(one, piece, manifest, self._database) for one in found]
        for event in events:
            await self._send(event)
        state.position[place[0]] = place[1]
        self._table[key] = self._snapshots.dump(state)
        return events

    def applied(self) -> dict[int, int]:
        """Return the last applied offset of the slices per partition; refused states are skipped."""
        return newest(self._position(data) for data in self._table.values())

    def _position(self, data: bytes) -> dict[int, int]:
        try:
            return self._snapshots.position(data) if data else {}
        except Refused:
            return {}

    def _load(self, key: bytes) -> ModelState:
        data = self._table.get(key)
        if not data:
            return ModelState()
        try:
            return self._snapshots.load(data)
        except Refused as error:
            log.warning("state refused, the model starts cold", model=key.decode(), reason=str(error))
            return ModelState()

    async def _manifest(self, piece: SliceSummarised) -> ModelManifest | None:
        version = (piece.model, piece.model_version, piece.model_digest)
        found = await _until_done(lambda: asyncio.to_thread(self._manifests.find, version))
        return found.manifest

    async def _send(self, event: DriftDetected | AlertRaised) -> None:
        log.info("found", event_type=type(event).__name__, model=event.model, reason=event.reason)
        try:
            await _until_done(lambda: self._sender.send(event))
        except MessageTooLarge:  # very long category names
            await _until_done(lambda: self._sender.send(event.model_copy(update={"sql": ""})))


async def _until_done(attempt: Callable[[], Awaitable[T]]) -> T:
    """Retry without end: skipping a slice would lose its rows."""
    while True:
        try:
            return await attempt()
        except Retryable as error:
            log.warning("detect waits", reason=str(error))
            await asyncio.sleep(RETRY_S)
