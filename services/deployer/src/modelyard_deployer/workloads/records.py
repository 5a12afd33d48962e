"""Records of local replicas: one JSON file each, next to the log, on the machine that runs the process."""

import logging
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.workloads.replica import Replica

_REPLICA: Final = TypeAdapter(Replica)
log = logging.getLogger(__name__)


class ReplicaRecords:
    """Records in memory; each change is written through to `<home>/<id>.json` by atomic rename. Thread-safe.

    Results of probes stay in memory: the next deployer probes again, and an idle replica costs no writes.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home, self._lock = home, RLock()
        self._known = {replica.id: replica for file in home.glob("*.json") if (replica := _load(file))}

    def all(self, model: str | None = None) -> list[Replica]:
        """Return the records, ordered by model, version and id."""
        with self._lock:
            found = [replica for replica in self._known.values() if model in (None, replica.model)]
        return sorted(found, key=lambda replica: (replica.model, replica.version, str(replica.id)))

    def of(self, key: VersionKey) -> list[Replica]:
        return [replica for replica in self.all(key.model) if replica.version == key.version]

    def save(self, replica: Replica) -> Replica:
        with self._lock:
            before = self._known.get(replica.id)
            if before is None or _durable(before) != _durable(replica):
                self._write(replica)
            self._known[replica.id] = replica
        return replica

    def swap(self, before: Replica, after: Replica) -> bool:
        """Save `after` if the record is still `before`; return False if another thread has changed it."""
        with self._lock:
            if self._known.get(before.id) != before:
                return False
            if before != after:
                self.save(after)
            return True

    def delete(self, replica_id: UUID) -> None:
        with self._lock:
            self._file(replica_id).unlink(missing_ok=True)
            self._known.pop(replica_id, None)

    def _write(self, replica: Replica) -> None:
        file = self._file(replica.id)
        temporary = file.with_suffix(".tmp")
        temporary.write_bytes(_REPLICA.dump_json(replica))
        temporary.replace(file)

    def _file(self, replica_id: UUID) -> Path:
        return self._home / f"{replica_id}.json"


def _durable(replica: Replica) -> Replica:
    return replace(replica, failed_probes=0, next_probe_at=None)


def _load(file: Path) -> Replica | None:
    """Load a record. An unreadable file is removed; `adopt` then stops the process, which has no record."""
    try:
        return _REPLICA.validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("replica record %s cannot be read and is removed: %s", file.name, type(error).__name__)
        file.unlink(missing_ok=True)
        return None
