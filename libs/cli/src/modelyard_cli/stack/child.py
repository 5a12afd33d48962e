"""One service process of a local stack: started again when it dies, asked whether it is ready."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Final

from modelyard_cli.stack.layout import Addresses, Layout, ServiceSpec, service_environment
from modelyard_cli.stack.state import State

ASK_READY_EVERY_S: Final = 3.0
LOG_MAX_BYTES: Final = 32 * 1024 * 1024
BACK_OFF_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the next start of a process that keeps dying."""
STEADY_S: Final = 30.0
"""A process that ran this long starts over with the shortest pause."""


class Child:
    """One service process and its restarts."""

    def __init__(self, spec: ServiceSpec, layout: Layout, addresses: Addresses) -> None:
        self.spec = spec
        self.url = addresses.url(spec.name)
        self.ready = False
        self.restarts = 0
        self.process: subprocess.Popen[bytes] | None = None
        inherited = {name: value for name, value in os.environ.items() if _passed_on(name, addresses)}
        self._environment = {**inherited, **service_environment(layout, addresses, spec.name)}
        self._log = layout.logs / f"{spec.name}.log"
        self._started_at = 0.0
        self._start_after = 0.0
        self._ask_after = 0.0
        self._failures = 0

    def start(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_MAX_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", self.spec.module],
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._started_at = time.monotonic()

    def look(self) -> None:
        """Restart it if it is dead, ask it whether it is ready otherwise: seldom once it has said so."""
        if self.process is not None and self.process.poll() is None:
            if not self.ready or time.monotonic() >= self._ask_after:
                self.ready = is_ready(self.url)
                self._ask_after = time.monotonic() + ASK_READY_EVERY_S
            return
        self.ready = False
        now = time.monotonic()
        if self.process is not None:
            self._mourn(now)
        elif now >= self._start_after:
            self._start_again(now)

    def _start_again(self, now: float) -> None:
        """A full disk must not end the supervisor, and with it all that still runs."""
        try:
            self.start()
        except OSError as error:
            complain(f"cannot start {self.spec.name}: {error}; trying again")
            self._failures += 1
            self._start_after = now + BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]

    def _mourn(self, now: float) -> None:
        self.process = None
        self.restarts += 1
        self._failures = 1 if now - self._started_at > STEADY_S else self._failures + 1
        self._start_after = now + BACK_OFF_S[min(self._failures, len(BACK_OFF_S)) - 1]

    def describe(self) -> State:
        return {
            "url": self.url,
            "pid": self.process.pid if self.process else None,
            "ready": self.ready,
            "restarts": self.restarts,
            "log": str(self._log.resolve()),
        }


def _passed_on(name: str, addresses: Addresses) -> bool:
    """Whether a service inherits this variable: credentials of Kafka belong to a Kafka of the user's own only."""
    credentials = name.startswith(("KAFKA_SECURITY_", "KAFKA_SASL_", "KAFKA_SSL_"))
    return name != "MODELYARD_ADMIN_KEY_FILE" and (addresses.kafka_given or not credentials)


def complain(text: str) -> None:
    """Into the supervisor's log, if the disk takes it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def is_ready(url: str) -> bool:
    """Whether the service says that it can do its work."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:  # noqa: S310 - http on loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False
