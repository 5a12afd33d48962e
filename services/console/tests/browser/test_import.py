"""A person imports a model of a hub: the dry run, the download as it goes, a cut that is continued, the preview."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import save

from modelyard_devstack.testing.hub import FakeHub, Repo, fake_hub
from modelyard_own.remote import connection

from .conftest import Visitor, served
from .replay import Recording, Replay
from .test_pages import looks_right, violations

FILES = {
    "config.json": b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8}',
    "tokenizer.json": b'{"model": {"vocab": {"a": 0}}}',
    "model.safetensors": save({"w": np.arange(500_000, dtype=np.float32)}),
    "README.md": b"# A model",
    "pytorch_model.bin": bytes(2_000_000),
}
TEXTS = {"name": "texts.csv", "mimeType": "text/csv", "buffer": b"text\n" + b"where is my parcel\n" * 20}


def test_a_model_of_a_hub_is_imported(
    tmp_path: Path, recording: Recording, visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = {"license": "apache-2.0", "base_model": "org/base"}
    with (
        fake_hub(org__parcels=Repo(dict(FILES), card)) as hub,
        served(tmp_path, Replay(recording), hub.url) as site,
    ):
        visitor = visit(site)
        page = visitor.open("/models")
        page.click("text=Import from a hub")
        page.fill("[name=repo]", "org/parcels")
        page.fill("[name=model]", "parcels")
        page.set_input_files("[name=sample]", TEXTS)  # type: ignore[arg-type]
        page.select_option("[name=task]", "text")
        page.click("text=Show its files")
        expect(page.locator("#taken")).to_contain_text("model.safetensors")
        expect(page.locator("#left-out")).to_contain_text("a pickle, which is never loaded")
        looks_right(page, "/models-import/repository")
        _cut_and_continued(visitor, hub, monkeypatch)
        page.click("text=Check how it is understood")
        expect(page.locator("h1")).to_contain_text("Register parcels")
        expect(page.locator("dl.figures")).to_contain_text("apache-2.0")
        expect(page.locator("button.primary")).to_have_text("Register")
        assert visitor.complaints == []


def _cut_and_continued(visitor: Visitor, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub cuts every connection: the person stops the download, and continues it once the hub is well."""
    page = visitor.page
    hub.cuts, hub.cut_at = 1_000, 0.1
    with monkeypatch.context() as patched:
        patched.setattr(connection, "FIRST_PAUSE_S", 60.0)
        page.click("#download button.primary")
        expect(page.locator("#download")).to_contain_text(re.compile("interrupted|turn"))
        expect(page.locator("#download")).to_contain_text("interrupted", timeout=30_000)
        assert violations(page) == []
        page.click("#download button:text-is('Cancel')")
        expect(page.locator("#download")).to_contain_text("What has arrived is kept", timeout=30_000)
    hub.cuts = 0
    page.click("#download button:text-is('Continue')")
    expect(page.locator("#download")).to_contain_text("have the digests that the hub states", timeout=30_000)
