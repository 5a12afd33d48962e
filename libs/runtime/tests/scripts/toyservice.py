"""A whole service: `toyservice.py`, controlled by TOY_* variables. Prints the steps of its life to stderr."""

import asyncio
import os
import sys
from pathlib import Path

from fastapi import Depends
from pydantic_settings import SettingsConfigDict

from modelyard_runtime.access import Authenticator
from modelyard_runtime.clock import system_clock
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import allow, create_app
from modelyard_runtime.service import Service
from modelyard_runtime.settings import DatabaseSettings, ServiceSettings, load_settings


class Settings(ServiceSettings, DatabaseSettings):
    model_config = SettingsConfigDict(env_prefix="TOY_", frozen=True, populate_by_name=True, extra="ignore")
    data_dir: Path = Path()


def say(what: str) -> None:
    print(f"LIFE {what}", file=sys.stderr, flush=True)


def break_the_server(how: str) -> None:
    """Make the HTTP server's task raise, or return as if it were done."""
    import uvicorn

    async def serve(self: uvicorn.Server, sockets: object = None) -> None:
        if how == "raises":
            raise RuntimeError("a bug in the server")

    uvicorn.Server.serve = serve  # type: ignore[method-assign]


def main() -> int:
    settings = load_settings(Settings)
    readiness = Readiness()
    app = create_app(
        service="toy", authenticator=Authenticator(settings.admin_key, None, system_clock), readiness=readiness
    )
    crashes = int(os.environ.get("TOY_CRASH", "0"))

    @app.get("/slow", dependencies=[Depends(allow("read", "run"))])
    async def slow() -> str:
        say("request began")
        while not (settings.data_dir / "go").exists():  # noqa: ASYNC110  the test is another process
            await asyncio.sleep(0.02)
        say("request ended")
        return "done"

    async def work(stop: asyncio.Event) -> None:
        nonlocal crashes
        if crashes:
            crashes -= 1
            raise RuntimeError("a bug")
        say("task began")
        await stop.wait()
        say("task ended")

    async def on_start() -> None:
        if bug := os.environ.get("TOY_SERVER_BUG"):
            break_the_server(bug)
        say("started")
        if os.environ.get("TOY_FULL"):
            import modelyard_runtime.database
            import modelyard_runtime.kafka
            import modelyard_runtime.relay  # noqa: F401

    async def on_stop() -> None:
        say("closed")

    return Service("toy", settings, app, [work], on_start, on_stop, readiness, restart_min_s=0.01).run()


if __name__ == "__main__":
    raise SystemExit(main())
