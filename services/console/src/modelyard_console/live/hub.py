"""What changed, for all open pages: each page learns types and models, and reads the rest with its own key."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

MAX_PAGES: Final = 2_000
"""Open pages; further ones stay without live updates."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Something of this type changed. model: its reference, empty if it belongs to none or may concern all."""

    type: str
    model: str = ""


Wanted = Callable[[Hint], bool]


class Inbox:
    """Hints for one page, each once until it is read: a page that reads slowly costs no memory."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._hints: dict[Hint, None] = {}
        self._ready = asyncio.Event()

    def put(self, hint: Hint) -> None:
        if self._wanted(hint):
            self._hints[hint] = None
            self._ready.set()

    async def read(self, timeout_s: float, gather_s: float = 0.0) -> list[Hint]:
        """All hints since the last read, in order; none after `timeout_s`.

        gather_s: how long to wait for more after the first one. Several changes of one rollout within a second are
        one refresh of a page.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return []
        await asyncio.sleep(gather_s)
        self._ready.clear()
        hints, self._hints = list(self._hints), {}
        return hints


class TooManyPages(Exception):
    """MAX_PAGES pages follow changes already."""


class Hub:
    """Passes hints on to all open pages. For the event loop only; `from_thread` is for other threads."""

    def __init__(self) -> None:
        self._inboxes: set[Inbox] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.away: dict[str, str] = {}
        """Service whose changes cannot be followed to the reason."""

    @property
    def pages(self) -> int:
        """Number of open pages."""
        return len(self._inboxes)

    def start(self) -> None:
        """Remember the event loop of the pages."""
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def subscribed(self, wanted: Wanted) -> Iterator[Inbox]:
        """An inbox for one page; TooManyPages when there is no room."""
        if len(self._inboxes) >= MAX_PAGES:
            raise TooManyPages
        inbox = Inbox(wanted)
        self._inboxes.add(inbox)
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)

    def publish(self, hint: Hint) -> None:
        """Pass a hint on to all pages that want it."""
        for inbox in self._inboxes:
            inbox.put(hint)

    def from_thread(self, hint: Hint) -> None:
        """Publish from another thread; nothing happens before the start and after the end."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.publish, hint)
