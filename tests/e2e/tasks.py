"""Streams of each task, and the whole path of a model: train, serve, log, label, store, drift, retrain, verdict."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelyard_cli.context import Platform
from modelyard_contracts.policies import GatePolicy, RetrainPolicy
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import wait_until

CONCURRENT: Final = 12
RETRAIN: Final = RetrainPolicy(cool_down_s=1, window_rows=2_000, holdout_rows=300)
GATE: Final = GatePolicy(min_rows=100, max_open_s=0.0)
ENDED: Final = ("succeeded", "failed", "cancelled", "refused")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Stream:
    """Rows of one concept: features, and the target as a label or a value."""

    task: Task
    target: str
    features: Sequence[Row]
    targets: Sequence[str | float]

    @classmethod
    def make(cls, task: Task, rows: int, *, shifted: bool, seed: int = 11) -> Self:
        """`shifted` moves the inputs by two standard deviations and changes how the target depends on them."""
        random = np.random.default_rng(seed)
        numbers = random.normal(2.0 if shifted else 0.0, 1.0, size=(rows, 2))
        colours = random.choice(["red", "green", "blue"], size=rows)
        signal = (-1.0 if shifted else 1.0) * (numbers[:, 0] + 0.5 * numbers[:, 1]) + (colours == "red")
        noisy = signal + random.normal(scale=0.3, size=rows)
        features = [
            {"width": float(a), "height": float(b), "colour": str(colour)}
            for (a, b), colour in zip(numbers, colours, strict=True)
        ]
        if task is Task.REGRESSION:
            return cls(task, "price", features, [float(value) for value in 10 + 5 * noisy])
        species = np.select([noisy < -0.5, noisy < 0.8], ["ant", "bee"], "cat")
        return cls(task, "species", features, [str(each) for each in species])

    def write(self, path: Path) -> pa.Schema:
        """Write a Parquet file with the feature columns and the target."""
        columns: dict[str, Any] = {name: [row[name] for row in self.features] for name in self.features[0]}
        table = pa.table({**columns, self.target: list(self.targets)})
        pq.write_table(table, path)
        return table.schema


@dataclass(frozen=True)
class Model:
    """A model of the running stack, used through the services' APIs only."""

    platform: Platform
    name: str

    def call(self, service: str, method: str, path: str, **options: Any) -> Any:
        """JSON of a successful response; AssertionError otherwise."""
        headers = {"authorization": f"Bearer {self.platform.token}"}
        url = f"{self.platform.urls[service]}{path}"
        answer = httpx.request(method, url, headers=headers, timeout=30, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def train(self, stream: Stream) -> None:
        """Train the first version on a stream, and wait until the router serves it."""
        registry = self.platform.registry
        registry.create_model(self.name)
        registry.set_policy(self.name, RETRAIN)
        registry.set_policy(self.name, GATE)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            schema = stream.write(path)
            digest = registry.put_blob(path)
            registry.create_dataset(
                digest,
                self.name,
                model=self.name,
                rows=len(stream.targets),
                size_bytes=path.stat().st_size,
                columns={field.name: str(field.type) for field in schema},
            )
        body = {"model": self.name, "dataset_digest": digest, "target": stream.target, "time": None, "reason": "first"}
        run = self.call("trainer", "POST", "/v1/runs", json={**body, "task": stream.task})
        ended = wait_until(lambda: self.ended_run(run["run_id"]), 240, every_s=0.5, what="the training run")
        assert ended["state"] == "succeeded", ended
        wait_until(self.is_served, 120, every_s=0.5, what="the first version is served")

    def ended_run(self, run_id: str) -> Any:
        run = self.call("trainer", "GET", f"/v1/runs/{run_id}")
        return run if run["state"] in ENDED else None

    def runs(self) -> list[Any]:
        return list(self.call("trainer", "GET", "/v1/runs", params={"model": self.name})["items"])

    def evaluations(self) -> list[Any]:
        return list(self.call("evaluator", "GET", "/v1/evaluations", params={"model": self.name})["items"])

    def is_served(self) -> bool:
        rollouts = self.call("deployer", "GET", "/v1/rollouts", params={"model": self.name})["items"]
        return bool(rollouts) and rollouts[0]["state"] == "promoted"

    def predict(self, features: Row) -> Any:
        return self.call("router", "POST", f"/v1/predict/{self.name}", json={"features": features})

    def send(self, stream: Stream, prefix: str) -> None:
        """Predict every row, then send every label. `prefix` is unique in the workspace, as labels are joined by id."""
        asyncio.run(self._send(stream, prefix))
        name = "value" if stream.task is Task.REGRESSION else "label"
        items = [{"prediction_id": f"{prefix}-{row}", name: value} for row, value in enumerate(stream.targets)]
        for first in range(0, len(items), 100):
            self.call("router", "POST", "/v1/feedback", json={"items": items[first : first + 100]})

    async def _send(self, stream: Stream, prefix: str) -> None:
        free = asyncio.Semaphore(CONCURRENT)
        headers = {"authorization": f"Bearer {self.platform.token}"}
        async with httpx.AsyncClient(headers=headers, timeout=30, base_url=self.platform.urls["router"]) as client:

            async def one(row: int) -> None:
                async with free:
                    body = {"features": stream.features[row], "prediction_id": f"{prefix}-{row}"}
                    answer = await client.post(f"/v1/predict/{self.name}", json=body)
                    assert answer.is_success, answer.text

            await asyncio.gather(*[one(row) for row in range(len(stream.targets))])

    def count(self, expression: str, rows: str) -> int:
        """An integer from ClickHouse; `rows` is a table and a condition in which `{model:String}` is the name."""
        [row] = self.platform.query(f"SELECT toInt64({expression}) AS n FROM {rows}", {"model": self.name})
        return int(row["n"])
