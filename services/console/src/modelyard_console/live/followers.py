"""One connection to each service's `GET /v1/changes`, however many pages are open."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from modelyard import ApiClient, ApiError, ChangeEvent
from modelyard_console.live.hub import Hint, Hub

FOLLOWED: Final = ("registry", "trainer", "evaluator", "deployer", "monitor")
REFUSED_S: Final = 30.0
"""Pause after a service refused the console's key."""
log = logging.getLogger(__name__)


class Followers:
    """Threads that follow the services with the console's own key, which may read everything.

    Pages get types and references of models only, filtered by what their own key may read.
    """

    def __init__(self, hub: Hub, client: Callable[[str], ApiClient], names: Sequence[str] = FOLLOWED) -> None:
        self._hub, self._client, self._names = hub, client, names
        self._ending = threading.Event()

    def start(self) -> None:
        """Start one thread per service. They end with the process: each waits for a network read."""
        for name in self._names:
            threading.Thread(target=self._follow, args=(name,), name=f"changes of {name}", daemon=True).start()

    def stop(self) -> None:
        self._ending.set()

    def _follow(self, name: str) -> None:
        while not self._ending.is_set():
            try:
                for change in self._client(name).changes(on_connection=lambda error: self._connection(name, error)):
                    self._hub.from_thread(Hint(change.type, _model(change)))
            except ApiError as error:  # the service refuses the console's key
                self._connection(name, error)
            self._ending.wait(REFUSED_S)

    def _connection(self, name: str, error: ApiError | None) -> None:
        """Note whether a service can be followed; open pages read again what they may have missed."""
        if error is None:
            if self._hub.away.pop(name, None) is not None:
                self._hub.from_thread(Hint("reset"))
            return
        if name not in self._hub.away:
            log.warning("changes of %s cannot be followed: %s", name, error.detail or error.title)
        self._hub.away[name] = error.detail or error.title
        self._hub.from_thread(Hint("away"))


def _model(change: ChangeEvent) -> str:
    """Reference of the model that a change is about; a changed model itself has only a name."""
    return str(change.data.get("model") or change.data.get("name") or "")
