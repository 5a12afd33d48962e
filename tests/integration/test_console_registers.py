"""A model is registered by upload in the console, over a real registry that scans and with processes that read it."""

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
from modelyard_registry.scanning.isolated import IsolatedScanner
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.access import Authenticator, Principal

RULES = b"def predict(rows):\n    return ['high' if row['n'] > 2 else 'low' for row in rows]\n"
ROWS = "".join(f"{n},{'high' if n > 2 else 'low'},{'high' if n > 1 else 'low'}\n" for n in range(9))
SAMPLE = f"n,answer,label\n{ROWS}".encode()
FILES = [("folder", ("rules/predict.py", RULES)), ("folder", ("rules/sample.csv", SAMPLE))]


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
