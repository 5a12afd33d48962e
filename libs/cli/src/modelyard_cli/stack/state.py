"""State of a running stack: one small JSON file, replaced in one step, readable by any client."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import psutil

from modelyard_cli.stack.layout import Layout, StackError

State = dict[str, Any]
POLL_S: Final = 0.05


def write_state(layout: Layout, state: State) -> None:
    """Replace the file in one step: a reader sees the old state or the new one."""
    draft = layout.state_file.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds the reader's password
    with os.fdopen(descriptor, "w") as file:
        json.dump(state, file, indent=2)
    draft.replace(layout.state_file)


def read_state(layout: Layout) -> State | None:
    """The last written state, or None when there was never a stack here."""
    try:
        state: State = json.loads(layout.state_file.read_text())
    except FileNotFoundError:
        return None
    return state


def running_state(data_dir: Path) -> State:
    """The state of a stack that runs; StackError when none does."""
    state = read_state(Layout(data_dir))
    if state is not None and is_alive(state["supervisor"]):
        return state
    if state and any(is_alive(identity) for identity in state["processes"]):
        raise StackError(
            f"the supervisor of the stack in {data_dir} was killed, its processes still run; "
            "`modelyard up` ends them and starts anew, `modelyard down` ends them"
        )
    raise StackError(f"no stack runs in {data_dir}; start one by `modelyard up --data-dir {data_dir}`")


def identify(pid: int) -> dict[str, float]:
    """A process by id and start time, as process ids are reused."""
    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def find(identity: dict[str, float]) -> psutil.Process | None:
    """The very process, if it still runs."""
    try:
        process = psutil.Process(int(identity["pid"]))
        same = abs(process.create_time() - identity["started"]) < 1.0
    except psutil.NoSuchProcess:
        return None
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


def is_alive(identity: dict[str, float]) -> bool:
    return find(identity) is not None


def ended(processes: Iterable[psutil.Process], within_s: float) -> bool:
    """Whether all have ended in that time. A zombie counts as ended: its parent may never read its exit code."""
    deadline = time.monotonic() + within_s
    while any(_works(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _works(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_processes(processes: list[psutil.Process], grace_s: float = 10.0) -> None:
    """Ask them to stop, with all their children; after the grace, make them."""
    family = {child.pid: child for process in processes for child in [process, *_children(process)]}
    for process in processes:
        _quietly(process.terminate)
    if not ended(family.values(), grace_s):
        for process in family.values():
            _quietly(process.kill)
        ended(family.values(), 5)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _quietly(action: Any) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        return


def end_orphans(layout: Layout) -> int:
    """End the processes that a killed supervisor left; returns their number."""
    state = read_state(layout)
    orphans = [found for identity in (state or {}).get("processes", []) if (found := find(identity))]
    end_processes(orphans)
    layout.state_file.unlink(missing_ok=True)
    return len(orphans)
