"""Replicas as local processes: `python -m modelyard_serving`, rediscovered after a crash of the deployer."""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import quote
from uuid import UUID

import httpx
import psutil

from modelyard_confine import allowed_environment
from modelyard_contracts.external import connection_of
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources, VersionKey
from modelyard_deployer.workloads.connections import SUFFIX as CONNECTION
from modelyard_deployer.workloads.connections import ConnectionFiles
from modelyard_deployer.workloads.members import SUFFIX, MembersFiles
from modelyard_deployer.workloads.probes import PATH, Probes, readiness_path
from modelyard_deployer.workloads.replica import Process
from modelyard_deployer.workloads.tokens import ServingTokens
from modelyard_deployer.workloads.warm_up import warm_up_request
from modelyard_zygote import Handle, Zygote

HOME_VARIABLE: Final = "MODELYARD_REPLICA_HOME"
ID_VARIABLE: Final = "MODELYARD_REPLICA_ID"
"""Set in the environment of each replica, like HOME_VARIABLE."""
SCRATCH: Final = ".scratch"
"""Suffix of the only folder that a replica may write to."""
KEYS: Final = "keys"
"""Folder of the key ring that replicas read."""
PRELOAD: Final = (
    "modelyard_flavours.preload",
    "modelyard_serving.server",
    "modelyard_serving.confinement",
    "modelyard_serving.loading",
    "modelyard_serving.members",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
MAX_LOG_BYTES: Final = 4 * 1_048_576
KEPT_LOG_BYTES: Final = 262_144
STARTED_TOLERANCE_S: Final = 0.05
PROBE_TIMEOUT_S: Final = 0.4
"""A health check answers within milliseconds; lifecycle.PROBE_AGAIN_S counts on this limit."""
MIB: Final = 1_048_576
JSON: Final = {"Content-Type": "application/json"}
WARM_UP_TIMEOUT_S: Final = 10.0


class LocalProcesses:
    """Starts and stops processes. `home` holds `<replica>.out` (its address) and `<replica>.log`, bounded by `tidy`.

    host: listen address of replicas; advertised_host: host name that routers connect to, by default `host`.
    connections: of models of providers; None if none is served.
    zygote_idle_s: idle time after which the parent process that replicas are forked from exits; 0 disables it.
    """

    def __init__(
        self,
        home: Path,
        tokens: ServingTokens,
        *,
        host: str = "127.0.0.1",
        advertised_host: str | None = None,
        python: Sequence[str] = (sys.executable,),
        grace_s: float = 10.0,
        zygote_idle_s: float = 120.0,
        allow_unconfined: bool = False,
        connections: ConnectionFiles | None = None,
    ) -> None:
        self._home, self._tokens, self._grace_s = home, tokens, grace_s
        self._allow_unconfined, self._connections = allow_unconfined, connections
        self._host, self._advertised_host = host, advertised_host or host
        self._home.mkdir(parents=True, exist_ok=True)
        # Without our secrets: a fork inherits the parent's memory.
        self._zygote = Zygote(PRELOAD, idle_s=zygote_idle_s, env=allowed_environment(), python=python)
        self._members = MembersFiles(self._home)
        self._children: dict[int, Handle] = {}
        self._terminated: dict[Process, float] = {}
        self._probes = Probes(self._token, PROBE_TIMEOUT_S)
        self._http = httpx.Client(timeout=WARM_UP_TIMEOUT_S, trust_env=False, auth=self._authorized)

    def _authorized(self, request: httpx.Request) -> httpx.Request:
        """Add the current token to a request; rotation may change it at any time."""
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def _token(self) -> str:
        """The current token, which the replicas' copy of the key ring holds as well."""
        self._tokens.refresh(self._home / KEYS)
        return self._tokens.current()

    def warm(self) -> None:
        self._zygote.warm()

    def start(self, replica_id: UUID, folder: Path, version: Version, resources: Resources) -> Process:
        serves = ["--model-dir", str(folder), "--model-version", str(version.version)]
        connection = self._connections.file(replica_id, version.file.manifest) if self._connections else None
        return self._start(replica_id, [*serves, *(["--connection", str(connection)] if connection else [])], resources)

    def start_host(self, host_id: UUID, resources: Resources) -> Process:
        return self._start(host_id, ["--members", str(self._members.file(host_id))], resources)

    def _start(self, replica_id: UUID, serves: Sequence[str], resources: Resources) -> Process:
        scratch = self._home / f"{replica_id}{SCRATCH}"
        scratch.mkdir(exist_ok=True)
        arguments = [*serves, "--port", "0", "--host", self._host, "--scratch", str(scratch.resolve())]
        arguments += ["--allow-unconfined"] if self._allow_unconfined else []
        environment = {
            **allowed_environment(),
            **self._tokens.environment(self._home / KEYS),
            HOME_VARIABLE: str(self._home.resolve()),
            ID_VARIABLE: str(replica_id),
        }
        self._out(replica_id).unlink(missing_ok=True)
        with self._out(replica_id).open("ab") as out, self._log(replica_id).open("ab") as log:
            # Start a new session, so that a signal to the terminal's process group does not reach the replica.
            child = self._zygote.spawn(
                "modelyard_serving", arguments, env=environment, stdout=out, stderr=log, detached=True
            )
        self._children[child.pid] = child
        _limit_memory(child.pid, resources.memory_mib)
        return Process(child.pid, _started(child.pid) or 0.0)

    def alive(self, process: Process) -> bool:
        child = self._children.get(process.pid)
        if child is not None:
            child.poll()
        alive = _alive(process)
        if not alive:
            self._children.pop(process.pid, None)
        return alive

    def address(self, replica_id: UUID) -> str | None:
        try:
            output = self._out(replica_id).read_text().split()
        except OSError:
            return None
        if len(output) < 2 or output[0] != "ready":
            return None
        return f"http://{self._advertised_host}:{output[1].rpartition(':')[2]}"

    def answers(self, url: str, member: VersionKey | None = None) -> bool:
        return self._probes.answers(url, readiness_path(member) if member else PATH)

    def admit(self, host_id: UUID, version: Version, folder: Path) -> None:
        self._members.add(host_id, version, folder)

    def dismiss(self, host_id: UUID, key: VersionKey) -> bool:
        self._members.remove(host_id, key)
        state = self._state(host_id, key)
        return state is not None and state.status_code == 404

    def refusal(self, host_id: UUID, key: VersionKey) -> str:
        state = self._state(host_id, key)
        if state is None or state.status_code != 503:
            return ""
        return str(state.json().get("error", ""))

    def _state(self, host_id: UUID, key: VersionKey) -> httpx.Response | None:
        """What a host reports about a version; None without a response."""
        url = self.address(host_id)
        try:
            return self._http.get(f"{url}{readiness_path(key)}", timeout=PROBE_TIMEOUT_S) if url else None
        except httpx.HTTPError:
            return None

    def warm_up(self, url: str, version: Version) -> str | None:
        if connection_of(version.file.manifest) is not None:
            return None  # a start neither costs money nor depends on a provider
        action, body = warm_up_request(version.file.manifest)
        try:
            path = f"/v2/models/{quote(version.model, safe=':')}/versions/{version.version}/{action}"
            answer = self._http.post(f"{url}{path}", content=body, headers=JSON)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        return None if answer.status_code == 200 else f"status {answer.status_code}: {answer.text[:300]}"

    def last_words(self, replica_id: UUID) -> str:
        with contextlib.suppress(OSError):
            lines = self._log(replica_id).read_bytes()[-2_000:].decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:500]
        return "the log is empty"

    def find(self) -> dict[UUID, Process]:
        home, found = self._home.resolve(), {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                replica_id = _replica_of(process, home)
                if replica_id is not None and process.status() != psutil.STATUS_ZOMBIE:
                    found[replica_id] = Process(process.pid, process.create_time())
        return found

    def stop(self, process: Process) -> bool:
        if not self.alive(process):
            self._terminated.pop(process, None)
            return True
        first = process not in self._terminated
        terminated_at = self._terminated.setdefault(process, monotonic())
        overdue = monotonic() - terminated_at > self._grace_s
        if first or overdue:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL if overdue else signal.SIGTERM)
        return False

    def tidy(self, replica_ids: set[UUID]) -> None:
        self._probes.tidy()
        known = {str(replica_id) for replica_id in replica_ids}
        for file in self._home.glob("*.*"):
            if file.suffix not in {".out", ".log", ".old", SCRATCH, SUFFIX, CONNECTION}:
                continue
            if file.stem not in known:
                _remove(file)
            elif file.suffix == ".log" and file.stat().st_size > MAX_LOG_BYTES:
                _shorten(file)

    def close(self) -> None:
        self._zygote.close()
        self._probes.close()
        self._http.close()

    def _out(self, replica_id: UUID) -> Path:
        return self._home / f"{replica_id}.out"

    def _log(self, replica_id: UUID) -> Path:
        return self._home / f"{replica_id}.log"


def _replica_of(process: psutil.Process, home: Path) -> UUID | None:
    """Return the id of the replica of `home` in this process, if any. May raise ValueError, OSError or psutil.Error.

    Linux: read from the path of the log on stderr, which is set for the whole life of the process; /proc shows a
    forked process with the environment of its parent. On other systems replicas are not forked.
    """
    if sys.platform == "linux":
        log = Path(str(Path(f"/proc/{process.pid}/fd/2").readlink()).removesuffix(" (deleted)"))
        return UUID(log.stem) if log.parent == home and log.suffix == ".log" else None
    environment = process.environ()
    return UUID(environment[ID_VARIABLE]) if environment.get(HOME_VARIABLE) == str(home) else None


def _limit_memory(pid: int, mib: int | None) -> None:
    """Limit the private memory of a process that has just started and not loaded its model yet; Linux only."""
    if mib is None or sys.platform != "linux":
        return
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).rlimit(psutil.RLIMIT_DATA, (mib * MIB, mib * MIB))


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _alive(process: Process) -> bool:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < STARTED_TOLERANCE_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _remove(path: Path) -> None:
    """Remove a file, or a scratch folder with what a version left in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _shorten(file: Path) -> None:
    """Move the end of the log to `.old` and truncate it; the process keeps appending."""
    with file.open("rb+") as log:
        log.seek(-KEPT_LOG_BYTES, os.SEEK_END)
        file.with_suffix(".old").write_bytes(log.read())
        log.truncate(0)
