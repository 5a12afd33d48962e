"""What changed, for all open pages: each page learns types and models, and reads the rest with its own key."""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

MAX_PAGES: Final = 2_000
"""Open pages; further ones stay without live updates."""
KEPT: Final = 1_000
"""Newest hints, for pages whose stream begins after they were read."""


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
        self._start, self._count = secrets.token_hex(4), 0
        self._newest: deque[Hint] = deque(maxlen=KEPT)
        self.away: dict[str, str] = {}
        """Service whose changes cannot be followed to the reason."""

    @property
    def pages(self) -> int:
        """Number of open pages."""
        return len(self._inboxes)

    @property
    def position(self) -> str:
        """Where the hints are now. A page remembers it before it reads anything, and follows from there."""
        return f"{self._start}-{self._count}"

    def start(self) -> None:
        """Remember the event loop of the pages."""
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def subscribed(self, wanted: Wanted, since: str = "") -> Iterator[Inbox]:
        """An inbox for one page; TooManyPages when there is no room.

        since: a position, after which the inbox has all hints; empty for none of the past. After a position that is
        too old, or of another start of the console, it has one hint of the type `reset`.
        """
        if len(self._inboxes) >= MAX_PAGES:
            raise TooManyPages
        inbox = Inbox(wanted)
        for hint in self._since(since) if since else ():
            inbox.put(hint)
        self._inboxes.add(inbox)
        try:
            yield inbox
        finally:
            self._inboxes.discard(inbox)

    def _since(self, position: str) -> list[Hint]:
        start, _, count = position.partition("-")
        missed = self._count - int(count) if start == self._start and count.isdecimal() else -1
        return list(self._newest)[len(self._newest) - missed :] if 0 <= missed <= len(self._newest) else [Hint("reset")]

    def publish(self, hint: Hint) -> None:
        """Pass a hint on to all pages that want it."""
        self._newest.append(hint)
        self._count += 1
        for inbox in self._inboxes:
            inbox.put(hint)

    def from_thread(self, hint: Hint) -> None:
        """Publish from another thread; nothing happens before the start and after the end."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.publish, hint)
