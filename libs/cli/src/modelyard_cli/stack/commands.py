"""up, down, status."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
from rich.text import Text

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, Listing, complain, complaints, console, reports_errors, rows, show
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, Layout, StackError, choose_ports
from modelyard_cli.stack.state import (
    State,
    end_orphans,
    end_processes,
    ended,
    find,
    is_alive,
    read_state,
    running_state,
)

START_TIMEOUT_S: Final = 120.0
STOP_WITHIN_S: Final = 60.0

DataDir = Annotated[Path, typer.Option("--data-dir", envvar="MODELYARD_DATA_DIR", help="The folder of the stack.")]


@reports_errors
def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    any_ports: Annotated[bool, typer.Option("--any-ports", help="Take free ports instead of the usual ones.")] = False,
    timeout_s: Annotated[float, typer.Option(min=1, help="Give up when it is not ready by then.")] = START_TIMEOUT_S,
    output: FormOption = Form.TABLE,
) -> None:
    """Start the local stack and return when it is ready."""
    state = start_stack(data_dir, any_ports=any_ports, timeout_s=timeout_s)
    show(output, state, lambda: _status_table(f"stack in {data_dir}", state))
    if output is Form.TABLE:
        folder = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
        console.print(Text(f"console: {state['services']['console']['url']} (sign in: `modelyard console{folder}`)"))
        console.print(Text(f"ready after {state['ready_after_s']} s; stop it by `modelyard down{folder}`"))


def start_stack(
    data_dir: Path, *, any_ports: bool, timeout_s: float = START_TIMEOUT_S, environ: Mapping[str, str] = os.environ
) -> State:
    """Start a supervisor in the background and wait until all is ready; StackError with its last words otherwise."""
    layout = Layout(data_dir)
    state = read_state(layout)
    if state and is_alive(state["supervisor"]):
        raise StackError(f"a stack already runs in {data_dir}; see `modelyard status`, end it by `modelyard down`")
    layout.prepare()
    end_orphans(layout)
    log = layout.logs / "supervisor.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [
                *(sys.executable, "-m", "modelyard_cli.stack.supervisor"),
                *("--data-dir", str(data_dir), "--ports", json.dumps(choose_ports(any_ports))),
            ],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=dict(environ),
        )
    return _wait_ready(layout, process, log, timeout_s)


def _wait_ready(layout: Layout, process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> State:
    """The state when all is ready. What does not come to that, also because of Ctrl-C, is stopped."""
    try:
        state = _follow_start(layout, process, log, time.monotonic() + timeout_s)
        if state["phase"] == "ready":
            return state
    except KeyboardInterrupt:
        _stop_start(process)
        complain("stopped before all was ready")
        raise
    _stop_start(process)
    waiting = [name for name, service in (state.get("services") or {}).items() if not service["ready"]]
    raise StackError(
        f"not ready after {timeout_s:.0f} s: {', '.join(waiting) or state.get('phase', 'starting')}; "
        f"see the logs in {layout.logs}, or give it longer by --timeout-s"
    )


def _follow_start(layout: Layout, process: subprocess.Popen[bytes], log: Path, deadline: float) -> State:
    """Show how far it is; the last state by then."""
    state: State | None = None
    with complaints.status("starting") as status:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise StackError(f"the stack did not start: {log.read_text().strip()[-2000:]}")
            state = read_state(layout)
            if state and state["phase"] == "ready":
                return state
            status.update(_progress(state))
            time.sleep(0.1)
    return state or {"phase": "starting"}


def _stop_start(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _progress(state: State | None) -> str:
    services = (state or {}).get("services") or {}
    ready = [name for name, service in services.items() if service["ready"]]
    phase = (state or {}).get("phase", "starting")
    return f"{phase} ({len(ready)} of {len(services)} ready: {', '.join(ready)})" if services else phase


@reports_errors
def down(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Stop the local stack; its data stays."""
    stopped = stop_stack(data_dir)
    show(output, {"stopped": stopped}, lambda: "stopped" if stopped else f"nothing runs in {data_dir}")


def stop_stack(data_dir: Path) -> bool:
    """Stop the supervisor and all it started, or what a killed one left; whether there was anything."""
    layout = Layout(data_dir)
    state = read_state(layout)
    supervisor = find(state["supervisor"]) if state else None
    if supervisor:
        supervisor.terminate()
        if not ended([supervisor], STOP_WITHIN_S):
            end_processes([supervisor])
    return end_orphans(layout) > 0 or supervisor is not None


@reports_errors
def status(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Show what runs, where, and whether it is ready: the platform of the environment, else the local stack."""
    if os.environ.get("REGISTRY_URL"):
        state, where = _given_state(Platform.find(data_dir)), "platform of the environment"
    else:
        state, where = running_state(data_dir), f"stack in {data_dir}"
        state["memory_mib"] = round(sum(_memory_mib(identity["pid"]) for identity in state["processes"]), 1)
    show(output, state, lambda: _status_table(where, state))


def _given_state(platform: Platform) -> State:
    """The same for a platform whose processes are not ours: each service is asked."""
    services = {name: {"url": url, "pid": None, "ready": platform.ready(name)} for name, url in platform.urls.items()}
    reader = {"user": platform.clickhouse_user, "password": platform.clickhouse_password}
    clickhouse = {"url": platform.clickhouse_url, "database": platform.clickhouse_database, "reader": reader}
    return {
        "phase": "ready" if all(service["ready"] for service in services.values()) else "not ready",
        "services": services,
        "kafka": {"bootstrap": platform.kafka_bootstrap, "provider": "given"},
        "clickhouse": {**clickhouse, "provider": "given"},
        "schema_registry": {"url": platform.urls["registry"]},
        "admin_key_file": str(Path(os.environ["MODELYARD_ADMIN_KEY_FILE"]).resolve()),
    }


def _memory_mib(pid: int) -> float:
    """Resident memory of a process and all below it."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return float(sum(member.memory_info().rss for member in family)) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def _status_table(where: str, state: dict[str, Any]) -> Listing:
    items = [_server(name, state.get(name) or {}, address) for name, address in SERVERS]
    items += [{"process": name, "address": it["url"], **it} for name, it in state["services"].items()]
    used = [{**item, "memory_mib": round(_memory_mib(item["pid"])) if item.get("pid") else None} for item in items]
    total = sum(item["memory_mib"] or 0 for item in used)
    columns = ("process", "address", "ready", "restarts", "memory_mib")  # no wider than 80 signs; JSON has the rest
    memory = f", {total:,} MiB" if total else ""
    return rows(f"{where}: {state['phase']}{memory}", columns, used)


SERVERS: Final = (("kafka", "bootstrap"), ("clickhouse", "url"))
"""What the services speak to, and the field of the state that says where it is."""


def _server(name: str, found: dict[str, Any], address: str) -> dict[str, Any]:
    """A line of the table. A stack that only begins has none of them yet; those that are not ours are not asked."""
    provider = f" ({found['provider']})" if found else ""
    ready = None if found and "pid" not in found else bool(found)
    return {"process": f"{name}{provider}", "address": found.get(address), "ready": ready, **found}
