"""A person synchronises with an MLflow server: registries, models, differences, a run that is stopped and continued."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from modelyard_devstack.testing.mlflow import FakeModel, FakeVersion, fake_mlflow, logged_model
from modelyard_own.remote import connection
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.access import Authenticator, Principal

from .conftest import ROLES, Visitor, served
from .replay import Recording, Replay
from .test_pages import looks_right


async def introspect(key: str) -> Principal | None:
    return ROLES.get(key)


@pytest.mark.timeout(300)
def test_models_of_another_registry_are_compared_and_taken_over(
    tmp_path: Path, recording: Recording, visit: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [FakeVersion(logged_model(), "first", {"team": "growth"}), FakeVersion(logged_model())]
    clock = lambda: recording.at  # noqa: E731
    with (
        fake_mlflow(churn=FakeModel(versions, "Who leaves", {"production": 1})) as mlflow,
        InProcessRegistry(tmp_path / "registry", clock, Authenticator(None, introspect, clock)) as registry,
        served(tmp_path, Replay(recording), registry=registry.transport, sync_mlflow=mlflow.url) as site,
    ):
        visitor = visit(site)
        page = visitor.open("/models-sync")
        page.click("#sources a")
        page.click("text=churn")
        expect(page.locator("#differences")).to_contain_text("only there")
        looks_right(page, "/models-sync/model")
        page.check("[name='take:1']")
        mlflow.cuts = 1_000
        with monkeypatch.context() as patched:
            patched.setattr(connection, "FIRST_PAUSE_S", 60.0)
            page.click("button.primary:text-is('Take over')")
            expect(page.locator("#progress")).to_contain_text("interrupted", timeout=60_000)
            page.click("#progress button:text-is('Cancel')")
            expect(page.locator("#progress")).to_contain_text("What was taken over stays", timeout=60_000)
        mlflow.cuts = 0
        page.click("#progress button:text-is('Continue')")
        expect(page.locator("#progress")).to_contain_text("Everything that you chose was taken over", timeout=120_000)
        looks_right(page, "/models-sync/run")
        assert visitor.complaints == []
