"""Run the detect worker as a supervised child process: restarted when it ends, stopped with the service."""

import asyncio
import os
import signal
import sys
from typing import Final

from modelyard_runtime.health import Readiness
from modelyard_runtime.log import get_logger
from modelyard_runtime.wakeup import pause

log = get_logger(__name__)

RESTART_MIN_S: Final = 0.25
RESTART_MAX_S: Final = 30.0
STOP_WITHIN_S: Final = 10.0
HEALTHY_AFTER_S: Final = 20.0
"""A worker that ran for longer is restarted at once; one that exits sooner, after longer and longer pauses."""
READY: Final = b"ready"
ENDED: Final = b"ended"
"""First words of the lines that the worker's process prints: it can work, or a worker died and is replaced."""
READ_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 100
PARENT_VARIABLE: Final = "MONITOR_DETECT_PARENT_PID"
"""The worker exits when this process is no longer its parent, so kill -9 of the service leaves no orphan."""

ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The worker needs no threads of numeric libraries, and may only be forked without them."""


class DetectProcess:
    """Supervises `python -m modelyard_monitor detect`."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self.pid: int | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`. Slices wait in Kafka while the worker starts: a first start does not delay readiness."""
        self._readiness.set("detect", True, "starting")
        pause_s = RESTART_MIN_S
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            started = loop.time()
            await self._once(stop)
            pause_s = RESTART_MIN_S if loop.time() - started > HEALTHY_AFTER_S else pause_s
            await pause(stop, pause_s)
            pause_s = min(pause_s * 2, RESTART_MAX_S)

    async def _once(self, stop: asyncio.Event) -> None:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "modelyard_monitor", "detect"),
            stdout=asyncio.subprocess.PIPE,
            env={**ONE_THREAD, **os.environ, PARENT_VARIABLE: str(os.getpid())},
        )
        self.pid = child.pid
        reading = asyncio.create_task(self._read(child))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if child.returncode is None and stop.is_set():
            child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), STOP_WITHIN_S)
        except TimeoutError:
            log.warning("detect did not stop in time, killed", pid=child.pid)
            child.kill()
            await child.wait()
        reading.cancel()
        self.pid = None
        self._readiness.set("detect", False, f"ended with code {child.returncode}")
        if not stop.is_set():
            log.error("detect ended, restarting", code=child.returncode)

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None  # noqa: S101  asked for a pipe above
        await self.drain(child.stdout)

    async def drain(self, output: asyncio.StreamReader) -> None:
        """Read to the end, so that the worker never blocks on its output; set readiness on its `ready` line."""
        partial = b""
        while chunk := await output.read(READ_BYTES):
            *lines, last = (partial + chunk).split(b"\n")
            for line in lines:
                self._note(line)
            partial = last[:MAX_LINE_BYTES]

    def _note(self, line: bytes) -> None:
        if line.startswith(READY):
            self._readiness.set("detect", True)
        elif line.startswith(ENDED):
            self._readiness.set("detect", False, line[:MAX_LINE_BYTES].decode("ascii", "replace"))
