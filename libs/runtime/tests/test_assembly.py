"""What every service that owns tables gets: migrations before its own start, readiness, old claims deleted."""

import asyncio
import importlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from modelyard_runtime import retention
from modelyard_runtime.assembly import Assembly
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.http import allow
from modelyard_runtime.inbox import claims_kept
from modelyard_runtime.retention import Periodic
from modelyard_runtime.service import Background, Service
from modelyard_runtime.settings import StatefulSettings
from modelyard_runtime.tables import INBOX

KEPT = claims_kept() + timedelta(days=7)
REVISION = """
from alembic import op
from modelyard_runtime.database import create_runtime_tables
revision, down_revision = "0001", None
def upgrade():
    create_runtime_tables(op.get_bind())
def downgrade():
    pass
"""


@pytest.fixture
def assembly(tmp_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Assembly]:
    versions = tmp_path / f"modelyard_{unique}" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parents[1] / "__init__.py").touch()
    (versions / "v0001_first.py").write_text(REVISION)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    key = tmp_path / "admin.key"
    key.write_text("an-admin-key-of-some-length")
    settings = StatefulSettings(
        admin_key_file=key, data_dir=tmp_path / "data", inbox_keep_days=KEPT / timedelta(days=1)
    )
    made = Assembly(unique, settings, FakeClock())
    yield made
    made.database.close()


def routes(app: FastAPI) -> None:
    @app.get("/v1/things", dependencies=[Depends(allow("read", "model"))])
    def things() -> list[str]:
        return []


async def started(service: Service) -> None:
    assert service.on_start is not None
    await service.on_start()


async def run_once(task: Background, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a Periodic from its start until it waits for its second turn, without the delays."""
    stop, delays = asyncio.Event(), iter(("first", "next"))

    async def no_delay(event: asyncio.Event, seconds: float) -> None:
        if next(delays) == "next":
            event.set()

    monkeypatch.setattr(retention, "pause", no_delay)
    await task(stop)


async def test_it_is_ready_once_its_tables_are_there_and_its_own_start_comes_after_them(assembly: Assembly) -> None:
    seen: list[object] = []

    async def on_start() -> None:
        with assembly.database.read() as connection:
            seen.append(connection.execute(select(INBOX)).all())

    service = assembly.service({}, routes, on_start=on_start)
    with TestClient(service.app) as caller:
        key = {"authorization": "Bearer an-admin-key-of-some-length"}
        report = caller.get("/health/ready", headers=key)
        assert report.status_code == 503 and "not opened yet" in report.text
        await started(service)
        assert seen == [[]]
        assert "not opened yet" not in caller.get("/health/ready", headers=key).text
        assert caller.get("/v1/things").status_code == 401
        assert caller.get("/v1/things", headers=key).json() == []


async def test_claims_are_deleted_when_no_event_can_come_again(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = assembly.service({}, routes)
    await started(service)
    with assembly.database.transaction() as tx:
        assert tx.inbox.claim(assembly.name, uuid4())
    [deletion] = [task for task in service.background if isinstance(getattr(task, "__self__", None), Periodic)]

    async def kept_after(seconds: float) -> int:
        assert isinstance(assembly.clock, FakeClock)
        assembly.clock.advance(seconds)
        await run_once(deletion, monkeypatch)
        with assembly.database.read() as connection:
            return len(connection.execute(select(INBOX)).all())

    assert await kept_after((KEPT - timedelta(seconds=1)).total_seconds()) == 1
    assert await kept_after(2) == 0


def test_its_own_background_tasks_and_their_grace_are_the_services(assembly: Assembly) -> None:
    async def work(stop: asyncio.Event) -> None: ...

    service = assembly.service({}, routes, background=[work], background_grace_s=7.5)
    assert work in service.background
    assert service.background_grace_s == 7.5


async def test_what_the_service_holds_is_closed_before_its_database(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    async def on_stop() -> None:
        with assembly.database.read() as connection:
            connection.execute(select(INBOX))
        order.append("service")

    service = assembly.service({}, routes, on_stop=on_stop)
    await started(service)
    monkeypatch.setattr(assembly.database, "close", lambda: order.append("database"))
    assert service.on_stop is not None
    await service.on_stop()
    assert order == ["service", "database"]
