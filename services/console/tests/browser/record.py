"""Record answers of a running stack for the browser tests.

Usage, in the repository's root: `.venv/bin/python -m services.console.tests.browser.record DEMO BACKTEST`. DEMO is the
folder of `modelyard demo --keep`, whose stack runs; BACKTEST the `--report` of a backtest. One prediction is sent, two
runs of an experiment are recorded, both reports are published, a connection made and a model registered that uses it,
then every page of `site_map.pages` is opened once.
"""

import contextlib
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi.testclient import TestClient

from modelyard import ApiError, EvaluatorClient, MonitorClient, RegistryClient, RouterClient
from modelyard_console.app import build
from modelyard_console.settings import Settings
from modelyard_contracts.connections import Connection
from modelyard_devstack.testing.openai import bought_manifest
from modelyard_runtime.access import BOOTSTRAP, Authenticator, Principal

from .replay import SERVICES, Recorder, Recording
from .site_map import BOUGHT, CONNECTION, MODEL, PREDICTION, pages

STORED_TIMEOUT_S: Final = 60
EXPERIMENT: Final = "tumours"


def settings_of(urls: dict[str, str]) -> dict[str, Any]:
    return {f"{name}_url": url for name, url in urls.items()}


def give(urls: dict[str, str], key: str, *reports: Path) -> None:
    """Send a prediction under a known id with its label, and publish the reports."""
    registry, router = RegistryClient(urls["registry"], key), RouterClient(urls["router"], key)
    champion = registry.model(MODEL).aliases["champion"]
    signature = registry.manifest(MODEL, champion).signature
    found = router.predict(MODEL, dict.fromkeys(signature.numeric, 0.5), prediction_id=PREDICTION)
    router.feedback(PREDICTION, label=found.class_)
    for report in reports:
        EvaluatorClient(urls["evaluator"], key).publish_report(MODEL, json.loads(report.read_text()))
    _until_stored(MonitorClient(urls["monitor"], key))


def give_connection(registry: RegistryClient) -> None:
    """A connection to a provider with two models."""
    small = {"context_tokens": 8_192, "input_per_million_tokens": 0.15, "output_per_million_tokens": 0.6}
    large = {"context_tokens": 128_000, "input_per_million_tokens": 2.5, "output_per_million_tokens": 10.0}
    document = {
        "endpoint": "https://api.example.com/v1",
        "secret": "PROVIDER_API_KEY",
        "currency": "EUR",
        "models": {"small-1": small, "large-1": large},
    }
    connection = Connection.model_validate(document)
    registry.set_connection(CONNECTION, connection, expected_revision=0, reason="contract 7")


def give_bought(registry: RegistryClient) -> None:
    """A version of a model of the provider."""
    registry.create_model(BOUGHT, description="Answers of a provider")
    with tempfile.TemporaryDirectory() as folder:
        manifest = bought_manifest(Path(folder), CONNECTION).model_copy(update={"model": BOUGHT})
        registry.register(manifest, {"api.json": Path(folder) / "api.json"}, idempotency_key="bought")


def give_runs(registry_url: str, key: str, at: datetime) -> None:
    """Record an experiment with two runs as the client of MLflow does: parameters, a metric by step, a file."""
    root = f"{registry_url}/mlflow/default/api/2.0"
    start_ms = int(at.timestamp() * 1_000) - 600_000
    with httpx.Client(base_url=f"{root}/mlflow", headers={"authorization": f"Bearer {key}"}) as client:
        made = client.post("/experiments/create", json={"name": EXPERIMENT}).raise_for_status().json()
        for strength in (0.1, 1.0):
            began = {**made, "run_name": f"C={strength}", "user_id": "anna", "start_time": start_ms}
            run = client.post("/runs/create", json=began).raise_for_status().json()["run"]["info"]["run_id"]
            losses = [
                {"key": "loss", "value": strength / (step + 1), "timestamp": start_ms, "step": step}
                for step in range(20)
            ]
            params = [{"key": "C", "value": str(strength)}, {"key": "solver", "value": "lbfgs"}]
            batch = {"run_id": run, "metrics": losses, "params": params, "tags": [{"key": "team", "value": "risk"}]}
            client.post("/runs/log-batch", json=batch).raise_for_status()
            artifact = f"{root}/mlflow-artifacts/artifacts/runs/{run}/artifacts/plots/loss.csv"
            client.put(artifact, content=b"step,loss\n").raise_for_status()
            ended = {"run_id": run, "status": "FINISHED", "end_time": start_ms + 90_000}
            client.post("/runs/update", json=ended).raise_for_status()


def _until_stored(monitor: MonitorClient) -> None:
    deadline = time.monotonic() + STORED_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ApiError):  # 404 until the monitor has stored it
            if monitor.prediction(PREDICTION)[0].labels:
                return
        time.sleep(0.5)  # sleep: a real stack stores in batches
    raise TimeoutError(f"the monitor has not stored prediction {PREDICTION} within {STORED_TIMEOUT_S} s")


def record(demo: Path, backtest: Path) -> Recording:
    """Open every page over recording transports, at one fixed moment."""
    stack = demo / "stack"
    state = json.loads((stack / "state.json").read_text())
    key = Path(state["admin_key_file"]).read_text().strip()
    urls = {name: state["services"][name]["url"] for name in SERVICES}
    give(urls, key, backtest / "report.json", demo / "report.json")
    give_connection(RegistryClient(urls["registry"], key))
    give_bought(RegistryClient(urls["registry"], key))
    recording = Recording(datetime.now(UTC).replace(microsecond=0))
    give_runs(urls["registry"], key, recording.at)

    async def introspect(found: str) -> Principal | None:
        return BOOTSTRAP if found == key else None

    def clock() -> datetime:
        return recording.at

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder),
            service_key_file=stack / "keys" / "console.key",
            call_timeout_s=60,
            **settings_of(urls),
        )
        transports = {name: Recorder(name, recording, httpx.HTTPTransport()) for name in SERVICES}
        service = build(settings, clock, Authenticator(None, introspect, clock), transports)
        assert service.on_start
        with TestClient(service.app, base_url="http://console") as browser:
            assert browser.portal
            browser.portal.call(service.on_start)
            browser.post("/sign-in", data={"key": key})
            for page in pages(recording):
                answer = browser.get(page)
                print(answer.status_code, page)
    return recording


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2])).save()
