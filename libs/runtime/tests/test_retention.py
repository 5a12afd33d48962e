"""What is no longer wanted goes, whole, and whatever happens in between."""

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelyard_runtime import retention
from modelyard_runtime.retention import Periodic, discard, discard_unused_files, empty_trash, folders


def a_folder(home: Path, name: str, at: float) -> Path:
    folder = home / name
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"weights")
    os.utime(folder, (at, at))
    return folder


def test_folders_come_newest_first_and_files_are_none(tmp_path: Path) -> None:
    assert folders(tmp_path / "nowhere") == []
    old, new = a_folder(tmp_path, "old", 1.0), a_folder(tmp_path, "new", 2.0)
    (tmp_path / "file").touch()
    assert folders(tmp_path) == [new, old]


def test_a_folder_goes_at_one_moment_and_what_a_crash_leaves_goes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_folder(tmp_path, "model", 1.0)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        discard(folder)
    assert folders(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 1
    empty_trash(tmp_path)
    assert list(tmp_path.iterdir()) == []
    discard(folder)
    empty_trash(tmp_path / "nowhere")


def test_files_that_nobody_touched_go_and_the_others_stay(tmp_path: Path) -> None:
    used, unused = a_folder(tmp_path, "used", 9.0) / "model.bin", a_folder(tmp_path, "unused", 9.0) / "model.bin"
    os.utime(used, (1_000.0, 1_000.0))
    os.utime(unused, (999.0, 999.0))
    assert discard_unused_files(tmp_path, datetime.fromtimestamp(1_000, UTC)) == len(b"weights")
    assert used.exists()
    assert not unused.exists()
    assert discard_unused_files(tmp_path / "nowhere", datetime.now(UTC)) == 0


async def test_a_task_that_fails_is_tried_again_and_ends_when_told(caplog: pytest.LogCaptureFixture) -> None:
    loop, thrice, stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    calls: list[None] = []

    def work() -> None:
        calls.append(None)
        if len(calls) == 1:
            raise OSError("no space left")
        if len(calls) == 3:
            loop.call_soon_threadsafe(thrice.set)

    task = asyncio.create_task(Periodic("tidying", work, every_s=0.01, first_s=0.0).run(stop))
    async with asyncio.timeout(30):
        await thrice.wait()
        stop.set()
        await task
    assert "tidying failed" in caplog.text
    assert retention.EVERY_S > retention.FIRST_S
