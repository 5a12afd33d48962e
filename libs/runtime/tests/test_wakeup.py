"""Pauses that end early: a test that would have to wait for their end fails by its time-out."""

import asyncio
import threading

from modelyard_runtime.wakeup import Wakeup, pause

LONG_S = 600.0


async def test_a_pause_ends_with_its_time_or_with_the_stop() -> None:
    stop = asyncio.Event()
    await pause(stop, 0.01)
    pausing = asyncio.create_task(pause(stop, LONG_S))
    await asyncio.sleep(0)
    stop.set()
    await pausing


async def test_a_word_from_another_thread_ends_the_pause_and_only_one() -> None:
    wakeup, stop = Wakeup(), asyncio.Event()
    pausing = asyncio.create_task(wakeup.pause(stop, LONG_S))
    await asyncio.sleep(0)
    threading.Thread(target=wakeup.notify).start()
    await pausing

    again = asyncio.create_task(wakeup.pause(stop, LONG_S))
    done, _ = await asyncio.wait({again}, timeout=0.05)
    assert not done
    stop.set()
    await again


async def test_a_word_before_the_pause_is_not_lost() -> None:
    wakeup, stop = Wakeup(), asyncio.Event()
    wakeup.notify()
    await wakeup.pause(stop, LONG_S)
    wakeup.notify()
    await wakeup.pause(stop, LONG_S)
