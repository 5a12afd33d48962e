"""The connection of a version, as a file that is replaced when address, key, prices or limits change."""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from modelyard_contracts.connections import Connection, ConnectionAccess, ModelTerms
from modelyard_flavours.errors import Inadmissible, ProviderError

UNUSABLE = "connection_unusable"


@dataclass(frozen=True)
class Terms:
    """A usable connection, and the terms of one model."""

    name: str
    connection: Connection
    key: str
    model: ModelTerms

    def error(self, problem: str, code: str, retry_after_s: int | None = None) -> ProviderError:
        """An error that names the connection; a key that the provider repeats is removed."""
        shown = problem.replace(self.key, "***") if self.key else problem
        return ProviderError(self.name, shown, code=code, retry_after_s=retry_after_s)


class Access:
    """Reads the file again when it has changed. Thread-safe."""

    def __init__(self, file: Path | None, model: str) -> None:
        if file is None:
            raise Inadmissible(
                "options.connection",
                "is called through a connection, which this process was not given; start it with --connection FILE",
            )
        self._file, self._model, self._lock = file, model, Lock()
        self._seen: tuple[int, int] | None = None
        self._access = self._read()

    def terms(self) -> Terms:
        """The connection as it is now; ProviderError if it cannot be used."""
        with self._lock:
            access = self._access = self._read()
        connection, name = access.connection, access.name
        if access.problem or connection is None:
            problem = access.problem or "it was deleted; register the model through another connection"
            raise ProviderError(name, problem, code=UNUSABLE)
        if connection.models and self._model not in connection.models:
            raise ProviderError(name, f"it no longer lists the model {self._model}", code=UNUSABLE)
        return Terms(name, connection, access.key, connection.models.get(self._model, ModelTerms()))

    def _read(self) -> ConnectionAccess:
        """The content; that of before if the file is just being replaced. Errors never repeat a value: it has a key."""
        try:
            status = self._file.stat()
            if (seen := (status.st_mtime_ns, status.st_ino)) == self._seen:
                return self._access
            access = ConnectionAccess.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError) as error:
            if self._seen is not None:
                return self._access
            raise Inadmissible("--connection", f"cannot be read ({type(error).__name__})") from None
        self._seen = seen
        return access
