"""Connections of replicas: one private file each, rewritten when connection or key change."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from modelyard_contracts.connections import Connection, ConnectionAccess
from modelyard_contracts.manifest import ManifestFile
from modelyard_deployer.domain.errors import RegistryUnavailable
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import Resources
from modelyard_deployer.workloads.connections import ConnectionFiles
from modelyard_deployer.workloads.processes import LocalProcesses
from modelyard_deployer.workloads.tokens import ServingTokens
from modelyard_devstack.testing import wait_until
from modelyard_devstack.testing.openai import KEY, bought_manifest, fake_provider
from modelyard_runtime.provider_keys import ProviderKeys


class Registry:
    """One connection; `down` refuses."""

    def __init__(self, url: str = "https://api.example.com/v1") -> None:
        self.revision, self.down = 1, False
        self.connection: Connection | None = Connection(endpoint=url, allow_http=True, secret="A_KEY")

    def read(self, reference: str) -> tuple[int, Connection | None]:
        assert reference == "openai"
        if self.down:
            raise RegistryUnavailable("down")
        return self.revision, self.connection


def access_in(file: Path | None) -> ConnectionAccess:
    assert file is not None
    return ConnectionAccess.model_validate_json(file.read_bytes())


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "A_KEY").write_text(KEY)
    return tmp_path / "keys"


def files_of(tmp_path: Path, registry: Registry, keys: Path) -> tuple[ConnectionFiles, Callable[[UUID], Path | None]]:
    (tmp_path / "home").mkdir()
    (tmp_path / "model").mkdir()
    files = ConnectionFiles(tmp_path / "home", registry.read, ProviderKeys(keys))
    manifest = bought_manifest(tmp_path / "model", "openai")
    return files, partial(files.file, manifest=manifest)


def test_a_replica_has_a_file_that_only_its_owner_reads(tmp_path: Path, keys: Path) -> None:
    files, file_of = files_of(tmp_path, Registry(), keys)
    file = file_of(uuid4())
    assert file is not None and access_in(file).key == KEY
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    other = bought_manifest(tmp_path / "model", "openai").model_copy(update={"flavour": "python"})
    assert files.file(uuid4(), other) is None


def test_a_change_and_a_rotated_key_reach_the_file(tmp_path: Path, keys: Path) -> None:
    registry = Registry()
    files, file_of = files_of(tmp_path, registry, keys)
    file = file_of(uuid4())
    assert file is not None
    before = file.stat().st_ino
    files.refresh()
    assert file.stat().st_ino == before  # nothing changed, so nothing is written
    (keys / "A_KEY").write_text("rotated")
    registry.revision, registry.connection = 2, Connection(endpoint="https://b.example", secret="A_KEY")
    files.refresh()
    found = access_in(file)
    assert (found.revision, found.key, found.connection) == (2, "rotated", registry.connection)
    (keys / "A_KEY").unlink()
    files.refresh()
    assert (access_in(file).key, "A_KEY" in access_in(file).problem) == ("", True)
    registry.revision, registry.connection = 0, None
    files.refresh()
    assert (access_in(file).connection, access_in(file).problem) == (None, "")


def test_without_the_registry_the_last_known_connection_holds(tmp_path: Path, keys: Path) -> None:
    registry = Registry()
    files, file_of = files_of(tmp_path, registry, keys)
    registry.down = True
    assert "the registry does not answer" in access_in(file_of(uuid4())).problem
    registry.down = False
    first = file_of(uuid4())
    registry.down = True
    files.refresh()
    assert access_in(first) == access_in(file_of(uuid4()))


@pytest.mark.slow
def test_a_replica_serves_follows_a_changed_key_and_leaves_no_file(
    tmp_path: Path, keys: Path, loopback: None, caplog: pytest.LogCaptureFixture
) -> None:
    with fake_provider() as provider:
        registry = Registry(provider.url)
        files, _ = files_of(tmp_path, registry, keys)
        file = ManifestFile.write(bought_manifest(tmp_path / "model", "openai"))
        (tmp_path / "model" / "manifest.json").write_bytes(file.data)
        version, replica, home = Version("help", 1, "approved", file), uuid4(), tmp_path / "home"
        runtime = LocalProcesses(home, ServingTokens("token"), connections=files)
        process = runtime.start(replica, tmp_path / "model", version, Resources())
        try:
            url = wait_until(lambda: runtime.address(replica), 90, what=runtime.last_words(replica))
            wait_until(lambda: runtime.answers(url), 30)
            assert runtime.warm_up(url, version) is None and provider.calls == []

            def ask() -> httpx.Response:
                body, headers = {"text_input": "to be"}, {"Authorization": "Bearer token"}
                return httpx.post(f"{url}/v2/models/help/generate", json=body, headers=headers, trust_env=False)

            assert ask().json()["text_output"] == "to be "
            for name in ("environ", "cmdline"):
                assert KEY.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
            (keys / "A_KEY").write_text("withdrawn")
            files.refresh()
            refused = ask()
            assert (refused.status_code, json.loads(refused.text)["code"]) == (502, "provider_unauthorized")
        finally:
            wait_until(lambda: runtime.stop(process), 30)
            runtime.close()
        assert KEY not in (home / f"{replica}.log").read_text(errors="replace")
        runtime.tidy(set())
        assert list(home.glob("*.connection")) == []
        assert KEY not in caplog.text
