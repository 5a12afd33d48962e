"""A model is registered in the console, by upload or from a hub, over a real registry that scans and real processes."""

import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from modelyard import RegistryClient
from modelyard_console.app import build
from modelyard_console.settings import Settings
from modelyard_contracts import VersionStage
from modelyard_devstack.testing.hub import COMMIT, FakeHub, Repo, fake_hub
from modelyard_registry.scanning.isolated import IsolatedScanner
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.access import Authenticator, Principal

RULES = b"def predict(rows):\n    return ['high' if row['n'] > 2 else 'low' for row in rows]\n"
ROWS = "".join(f"{n},{'high' if n > 2 else 'low'},{'high' if n > 1 else 'low'}\n" for n in range(9))
SAMPLE = f"n,answer,label\n{ROWS}".encode()
FILES = [("folder", ("rules/predict.py", RULES)), ("folder", ("rules/sample.csv", SAMPLE))]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with a scikit-learn model; its address is a setting of the console."""
    import numpy as np
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rows = np.arange(40.0).reshape(-1, 1)
    skops.io.dump(LogisticRegression().fit(rows, np.where(rows[:, 0] > 20, "old", "young")), tmp_path / "model.skops")
    files = {"model.skops": (tmp_path / "model.skops").read_bytes(), "README.md": b"# text"}
    with fake_hub(org__model=Repo(files, {"license": "mit", "base_model": "org/encoder"})) as opened:
        monkeypatch.setenv("HF_ENDPOINT", opened.url)
        yield opened


def away(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


@dataclass
class Consoles:
    """A console, and the registry behind it."""

    browser: TestClient
    registry: RegistryClient

    def sign_in(self, role: str) -> None:
        key = self.registry.create_key(role, {"default": [role]}).key
        answer = self.browser.post("/sign-in", data={"key": key}, follow_redirects=False)
        assert answer.status_code == 303, answer.text

    def post(self, path: str, page: str, files: Any = None, **form: str) -> Any:
        token = self.browser.get(page).text.partition('name="csrf" value="')[2].partition('"')[0]
        return self.browser.post(path, data={"csrf": token, "model": "rules", **form}, files=files)

    def registered(self, page: str, **form: str) -> str:
        """Start a registration and return its page, once it has ended."""
        assert self.post(f"{page}/start", page, **form).status_code == 200
        deadline = time.monotonic() + 60
        while ">running<" in (text := self.browser.get(f"{page}/progress").text):
            assert time.monotonic() < deadline, "the registration has not ended"
            time.sleep(0.1)  # sleep: it runs in a thread of the console
        return text


@pytest.fixture
def consoles(tmp_path: Path) -> Iterator[Consoles]:
    key_file = tmp_path / "console.key"
    key_file.write_text("console-key-of-enough-letters")
    with InProcessRegistry(tmp_path / "registry", scanner=IsolatedScanner()) as opened:
        client = RegistryClient("http://registry", opened.admin_key, 60, transport=opened.transport)

        async def introspect(key: str) -> Principal | None:
            found = client.introspect(key)
            roles = {name: frozenset(given) for name, given in found.get("roles", {}).items()}
            return Principal(found["identity"], "user", roles) if found["active"] else None

        others = ("trainer", "evaluator", "deployer", "router", "monitor")
        transports = {name: httpx.MockTransport(away) for name in others} | {"registry": opened.transport}
        settings = Settings(data_dir=tmp_path / "console", service_key_file=key_file)
        service = build(settings, opened.clock, Authenticator(None, introspect, opened.clock), transports)
        assert service.on_start and service.on_stop
        with TestClient(service.app, base_url="http://console") as browser:
            assert browser.portal
            browser.portal.call(service.on_start)
            yield Consoles(browser, client)
            browser.portal.call(service.on_stop)


@pytest.mark.timeout(240)
def test_code_of_a_developer_waits_for_a_reviewer_and_its_registration_continues(consoles: Consoles) -> None:
    code = {"allow_code": "yes", "code_reason": "our own rules"}
    consoles.sign_in("developer")
    page = consoles.post("/models-register/upload", "/models-register", FILES, **code).url.path
    assert "A reviewer or an admin allows it" in consoles.registered(page, **code)
    assert consoles.registry.version("rules", 1).stage is VersionStage.PENDING
    consoles.registry.allow_code("rules", 1, "read by the payments team")
    text = consoles.registered(page, **code)
    version = consoles.registry.version("rules", 1)
    assert "rules version 1" in text and "suspicious" in text
    assert (version.stage, version.created_by) == (VersionStage.REGISTERED, "developer")
    dataset = consoles.registry.manifest("rules", 1).training.dataset_digest
    assert dataset is not None and consoles.registry.dataset(dataset).rows == 9


@pytest.mark.timeout(240)
def test_a_pickle_is_never_loaded_and_its_findings_are_shown(consoles: Consoles, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"

    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (loaded,)

    consoles.sign_in("developer")
    files = [("files", ("model.pkl", pickle.dumps(Evil()))), ("sample", ("rows.csv", SAMPLE))]
    shown = consoles.post("/models-register/upload", "/models-register", files)
    assert "pickles can run code when they are loaded" in shown.text
    assert "malicious" in shown.text or "suspicious" in shown.text
    assert ">Register</button>" not in shown.text
    assert consoles.post(f"{shown.url.path}/start", shown.url.path).status_code == 422
    assert consoles.registry.search_models().items == ()
    assert not loaded.exists()


@pytest.mark.timeout(240)
def test_a_model_of_a_hub_is_downloaded_read_and_registered_as_the_person(hub: FakeHub, consoles: Consoles) -> None:
    hub.cuts = 1
    consoles.sign_in("developer")
    rows = "age,label\n" + "".join(f"{age},{'old' if age > 20 else 'young'}\n" for age in range(40))
    sample = [("sample", ("rows.csv", rows.encode()))]
    page = consoles.post("/models-import/list", "/models-import", sample, hub="hf", repo="org/model").url.path
    assert consoles.post(f"{page}/start", page).url.path == page
    deadline = time.monotonic() + 60
    while "Check how it is understood" not in (text := consoles.browser.get(page).text):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)  # sleep: it runs in a thread of the console
    preview = page.replace("models-import/repositories", "models-register/files")
    text = consoles.registered(preview)
    assert "rules version 1" in text and "allow listed" in text, text
    version, manifest = consoles.registry.version("rules", 1), consoles.registry.manifest("rules", 1)
    assert (version.stage, version.created_by) == (VersionStage.REGISTERED, "developer")
    source = manifest.source
    assert source is not None
    assert (source.kind, source.uri, source.revision) == ("hub", f"{hub.url}/org/model", COMMIT)
    assert (source.license, source.base_model, source.gated) == ("mit", "org/encoder", False)
