"""The last thing the demo shows: a roll-back, by the same call as `modelyard rollback`, and who answers then."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

from modelyard import ApiError
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.report import Report
from modelyard_cli.stack.layout import StackError

OPEN_ROLLOUT_S: Final = 120.0
"""How long an aborted roll-out may take to end."""


def show_roll_back(platform: Platform, stream: Stream, say: Callable[[str], None]) -> Report:
    """The part of the report that is about it. What failed here does not cost what was measured before."""
    try:
        done = _roll_back(platform, stream)
    except (StackError, ApiError) as error:
        return {"rollback": None, "rollback_seconds": None, "rollback_error": str(error)}
    if done is not None:
        say(f"rolled back to v{done['to_version']} in {done['seconds']:.2f} s")
    return {"rollback": done, "rollback_seconds": done and done["seconds"], "rollback_error": None}


def _roll_back(platform: Platform, stream: Stream) -> dict[str, Any] | None:
    """None when there is no version before; StackError when another one than it answers afterwards."""
    _end_open_rollout(platform, stream.name)
    rollouts = platform.deployer.rollouts(stream.name)
    if len({rollout.to_version for rollout in rollouts if rollout.state == "promoted"}) < 2:
        return None
    done = platform.deployer.roll_back(stream.name, reason="shown by the demo", wait_s=30)
    answer = platform.router.predict(stream.name, stream.features(stream.rows - 1))
    if answer.version != done.to_version:
        raise StackError(f"rolled back to v{done.to_version}, but v{answer.version} answers")
    return done.model_dump(mode="json")


def _end_open_rollout(platform: Platform, model: str) -> None:
    """A canary without traffic would only hold, and a roll-back would take it back instead of what serves."""
    deadline = time.monotonic() + OPEN_ROLLOUT_S
    while opened := [it for it in platform.deployer.rollouts(model) if not it.ended]:
        if time.monotonic() > deadline:
            raise StackError(f"rollout {opened[0].rollout_id} is still {opened[0].state}; see `modelyard rollouts`")
        with contextlib.suppress(ApiError):  # it may have ended by itself meanwhile
            platform.deployer.abort_rollout(model, reason="the demo's stream has ended")
        time.sleep(0.5)
