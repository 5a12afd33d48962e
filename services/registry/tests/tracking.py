"""Requests as MLflow's client sends them, without the client."""

from dataclasses import dataclass
from typing import Any

import httpx

from modelyard_registry.testing import ADMIN_KEY

from .conftest import World


@dataclass
class Tracking:
    """One workspace of MLflow's API."""

    world: World
    token: str = ADMIN_KEY
    workspace: str = "default"

    def ask(self, method: str, path: str, **fields: Any) -> httpx.Response:
        """Any request; fields are the query of a GET, and the body of all others."""
        sent: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"/mlflow/{self.workspace}/api/2.0/mlflow/{path}"
        return self.world.http.request(method, url, headers=headers, **sent)

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        return self._good(self.ask("POST", path, **fields))

    def get(self, path: str, **fields: Any) -> dict[str, Any]:
        return self._good(self.ask("GET", path, **fields))

    def refused(self, method: str, path: str, **fields: Any) -> tuple[str, str]:
        """Error code and message of a refusal."""
        answer = self.ask(method, path, **fields)
        assert answer.status_code >= 400, answer.text
        return answer.json()["error_code"], answer.json()["message"]

    def artifact(self, method: str, path: str, content: bytes = b"") -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"/mlflow/{self.workspace}/api/2.0/mlflow-artifacts/artifacts/{path}"
        return self.world.http.request(method, url, headers=headers, content=content or None)

    def experiment(self, name: str = "spam") -> str:
        found: str = self.post("experiments/create", name=name)["experiment_id"]
        return found

    def run(self, experiment_id: str, **fields: Any) -> str:
        made = self.post("runs/create", experiment_id=experiment_id, **fields)
        found: str = made["run"]["info"]["run_id"]
        return found

    def logged(self, experiment_id: str, name: str, *, at: int = 0, **metrics: float) -> str:
        """A run with parameters `name`, and metrics."""
        id_ = self.run(experiment_id, run_name=name, start_time=at)
        points = [{"key": key, "value": value, "timestamp": 1, "step": 0} for key, value in metrics.items()]
        self.post("runs/log-batch", run_id=id_, params=[{"key": "name", "value": name}], metrics=points)
        return id_

    def search(self, experiment_id: str, filter: str = "", **more: Any) -> list[str]:
        """Names of the runs that a search finds."""
        found = self.post("runs/search", experiment_ids=[experiment_id], filter=filter, **more)
        return [run["info"]["run_name"] for run in found["runs"]]

    @staticmethod
    def _good(answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found
