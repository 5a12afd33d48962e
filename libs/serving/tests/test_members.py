"""Several versions of one model in one server: one request asks all of them, and they come and go while it serves."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import Signature
from modelyard_devstack.testing import eventually
from modelyard_serving.app import ModelApp
from modelyard_serving.errors import Unloadable
from modelyard_serving.members import Listed, MembersFile, write_members
from modelyard_serving.tokens import Tokens

from .conftest import BINARY, TOKEN, VALUE, Caller, cat, num, write_model

ROW = {"inputs": [num([0.8, 1.0]), cat("red")]}


@dataclass
class Version:
    """p(up) is the same for all rows. how: `raise`, `nan`, `shape`, `wait` (until the gate opens) or `` (answer)."""

    up: float
    how: str = ""
    gate: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    warm: bool = False

    def predict(self, numeric: Any, categorical: Any) -> Any:
        if not self.warm:
            self.warm = True
        elif self.how == "raise":
            raise RuntimeError("a bad version")
        elif self.how == "nan":
            return np.full((len(numeric), 2), np.nan)
        elif self.how == "shape":
            return np.ones((len(numeric), 5))
        elif self.how == "wait":
            self.started.set()
            self.gate.wait(60)
        return np.tile([1 - self.up, self.up], (len(numeric), 1))


class Shared:
    """A server with a file of members, and the versions behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "members.json"
        self.versions: dict[str, Version] = {}
        self.digests: dict[str, str] = {}
        self.app = ModelApp(Tokens(TOKEN))
        self.call = Caller(self.app)

    def given(self, name: str, up: float, how: str = "", signature: Signature = BINARY) -> Version:
        folder = self.folder / name
        folder.mkdir()
        self.versions[name] = Version(up, how)
        self.digests[name] = write_model(folder, signature).digest
        return self.versions[name]

    def list(self, *names: str) -> None:
        listed = tuple(Listed(name, str(self.folder / name), self.digests[name]) for name in names)
        write_members(self.file, MembersFile("elec", listed))

    def load(self, manifest: ModelManifest, folder: Path) -> Any:
        version = self.versions[folder.name]
        if version.how == "unloadable":
            raise Unloadable("cannot be loaded")
        return version

    async def state(self, name: str) -> tuple[int, Any]:
        return await self.call("GET", f"/v2/models/elec/versions/{name}/ready")

    async def serve(self, *names: str) -> None:
        self.list(*names)
        if self.app.members is None:
            self.app.share(self.file, self.load)

        async def loaded() -> bool:
            return all([(await self.state(name))[1]["state"] != "loading" for name in names])

        await eventually(loaded, 30)

    async def ask(self, names: str, timeout_ms: int = 20_000, body: Any = ROW) -> tuple[int, Any]:
        headers = {"x-modelyard-timeout-ms": str(timeout_ms)}
        return await self.call("POST", f"/v2/models/elec/versions/{names}/infer", body, headers=headers)

    async def ups(self, names: str, timeout_ms: int = 20_000) -> dict[str, float | int]:
        """p(up) by version; the status where it is not 200."""
        status, body = await self.ask(names, timeout_ms)
        assert status == 200, body
        return {
            one["version"]: one["answer"]["outputs"][1]["data"][1] if one["status"] == 200 else one["status"]
            for one in body["members"]
        }


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    world = Shared(tmp_path)
    yield world
    for version in world.versions.values():
        version.gate.set()
    await asyncio.to_thread(world.app.close)


async def test_one_request_asks_several_versions_and_each_answers_as_if_asked_alone(shared: Shared) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9)
    await shared.serve("3", "4")
    _, both = await shared.ask("4,3")
    assert [one["version"] for one in both["members"]] == ["4", "3"], "in the order of the request"
    for one in both["members"]:
        status, alone = await shared.ask(one["version"])
        assert (status, one["status"], one["answer"]) == (200, 200, alone)
        assert alone["parameters"]["digest"] == shared.digests[one["version"]]
        assert 0 <= one["predict_ms"] <= both["span_ms"]


@pytest.mark.parametrize("how", ["raise", "nan", "shape"])
async def test_a_version_that_fails_fails_alone(shared: Shared, how: str) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9, how), shared.given("5", 0.5)
    await shared.serve("3", "4", "5")
    assert await shared.ups("3,4,5") == {"3": 0.3, "4": 500, "5": 0.5}
    assert (await shared.ask("4"))[0] == 500


async def test_a_version_that_hangs_is_late_alone_and_reports_that_it_is_not_ready(shared: Shared) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9, "wait"), shared.given("5", 0.5)
    await shared.serve("3", "4", "5")
    assert await shared.ups("3,4,5", timeout_ms=1_500) == {"3": 0.3, "4": 504, "5": 0.5}
    assert await shared.ups("3,5") == {"3": 0.3, "5": 0.5}

    async def hung() -> bool:
        return bool((await shared.state("4"))[1]["state"] == "hung")

    await eventually(hung, 30)
    assert (await shared.state("3"))[0] == 200
    assert (await shared.call("GET", "/v2/health/ready"))[0] == 200


async def test_a_version_that_cannot_be_loaded_leaves_the_others_alone(shared: Shared) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9, "unloadable"), shared.given("5", 0.5)
    (shared.folder / "5" / "weights.bin").write_bytes(b"changed")
    await shared.serve("3", "4", "5")
    assert await shared.ups("3,4,5") == {"3": 0.3, "4": 404, "5": 404}
    status, body = await shared.state("4")
    assert (status, body["state"]) == (503, "failed")
    assert "cannot be loaded" in body["error"]
    assert "digest" in (await shared.state("5"))[1]["error"]


async def test_versions_come_and_go_while_the_others_answer(shared: Shared) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9), shared.given("5", 0.5)
    await shared.serve("3", "4")
    await shared.serve("4", "5")
    assert await shared.ups("3,4,5") == {"3": 404, "4": 0.9, "5": 0.5}
    assert (await shared.state("3"))[0] == 404


async def test_a_version_that_is_removed_answers_what_it_was_asked_before(shared: Shared) -> None:
    slow = shared.given("3", 0.3, "wait")
    shared.given("4", 0.9)
    await shared.serve("3", "4")
    waiting = asyncio.create_task(shared.ups("3,4"))
    await asyncio.to_thread(slow.started.wait, 30)
    shared.list("4")
    assert (await shared.state("3"))[1]["state"] == "leaving"
    slow.gate.set()
    assert await waiting == {"3": 0.3, "4": 0.9}

    async def gone() -> bool:
        return (await shared.state("3"))[0] == 404

    await eventually(gone, 30)


async def test_a_version_with_another_signature_is_not_asked_with_the_others(shared: Shared) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9, signature=VALUE.model_copy(update={"columns": VALUE.columns[::-1]}))
    await shared.serve("3")
    shared.versions["4"].predict = lambda numeric, categorical: np.ones(len(numeric))  # type: ignore[method-assign]
    await shared.serve("3", "4")
    assert await shared.ups("3,4") == {"3": 0.3, "4": 400}


async def test_a_request_that_breaks_the_signature_is_refused_as_a_whole(shared: Shared) -> None:
    shared.given("3", 0.3), shared.given("4", 0.9)
    await shared.serve("3", "4")
    status, body = await shared.ask("3,4", body={"inputs": [num([0.8, 1.0])]})
    assert (status, body["code"], body["field"]) == (400, "bad_request", "cat")
    assert (await shared.ask("3,3"))[0] == 400
    assert (await shared.ask("3,"))[0] == 404
    assert (await shared.call("POST", "/v2/models/elec/infer", ROW))[0] == 404, "which version is not said"
    assert (await shared.call("POST", "/v2/models/other/versions/3,4/infer", ROW))[0] == 404


async def test_a_file_that_cannot_be_read_changes_nothing(shared: Shared) -> None:
    shared.given("3", 0.3)
    await shared.serve("3")
    shared.file.write_text("{")
    assert (await shared.state("3"))[0] == 200
    shared.file.unlink()
    assert (await shared.state("3"))[0] == 200


async def test_a_server_of_one_version_does_not_know_the_call(world: Any) -> None:
    assert (await world.call("POST", "/v2/models/elec/versions/3,4/infer", ROW))[0] == 404
