"""Which acknowledgements Kafka has: kept in a file, so that a restart does not send them again."""

import json
import logging
from pathlib import Path
from typing import Final

FILE: Final = "acknowledged.json"
MAX_ROUTES: Final = 10_000
log = logging.getLogger(__name__)


class Acknowledged:
    """The newest table of each route that was accepted, and that was refused, as Kafka knows it.

    A lost or damaged file costs repeats under the same ids, nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._newest = self._stored()

    def has(self, route: str, sequence: int, accepted: bool) -> bool:
        """Whether Kafka has this acknowledgement already."""
        return self._newest.get(route, {}).get(_word(accepted)) == sequence

    def add(self, route: str, sequence: int, accepted: bool) -> None:
        """Note that Kafka has it; written to the file by `save`."""
        self._newest[route] = {**self._newest.pop(route, {}), _word(accepted): sequence}
        while len(self._newest) > MAX_ROUTES:
            self._newest.pop(next(iter(self._newest)))

    def save(self) -> None:
        """Write the file; a full disk is logged."""
        part = self._file.with_suffix(".part")
        try:
            part.write_text(json.dumps(self._newest))
            part.replace(self._file)
        except OSError as error:
            log.warning("acknowledgements are not noted, a restart sends them again: %s", error)

    def _stored(self) -> dict[str, dict[str, int]]:
        try:
            found = json.loads(self._file.read_text())
            return {str(route): {word: int(of[word]) for word in of} for route, of in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            log.warning("%s cannot be used: %r", self._file, error)
            return {}


def _word(accepted: bool) -> str:
    return "accepted" if accepted else "refused"
