"""Experiments and their runs: what MLflow's client recorded, and training runs of the platform."""

from collections.abc import Iterator

from modelyard.records import ArtifactInfo, ExperimentInfo, ExperimentPage, ExperimentRunPage, MetricValue, RunDetail
from modelyard.registry.paths import PagedClient
from modelyard.transport import part


class ExperimentsClient(PagedClient):
    """Reads of experiments and runs; they are written by the client of MLflow."""

    def experiments(self, *, workspace: str | None = None, q: str | None = None) -> tuple[ExperimentInfo, ...]:
        """Experiments that the key may read, newest first. q: part of the name, in any case."""
        given = {name: value for name, value in (("workspace", workspace), ("q", q)) if value}
        return tuple(map(ExperimentInfo.model_validate, self.pages("/v1/experiments", **given)))

    def experiments_page(
        self, *, workspace: str | None = None, q: str | None = None, after: str | None = None, limit: int = 100
    ) -> ExperimentPage:
        """One page of experiments, newest first."""
        asked = {"workspace": workspace, "q": q, "after": after, "limit": limit}
        return ExperimentPage.model_validate(self.get("/v1/experiments", **asked))

    def experiment(self, experiment_id: int) -> ExperimentInfo:
        return ExperimentInfo.model_validate(self.get(f"/v1/experiments/{experiment_id}"))

    def experiment_runs(
        self,
        experiment_id: int,
        *,
        filter: str | None = None,
        order_by: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> ExperimentRunPage:
        """One page of runs, newest first unless ordered. filter: such as `metrics.accuracy > 0.9`."""
        asked = {"filter": filter, "order_by": order_by, "limit": limit, "after": after}
        return ExperimentRunPage.model_validate(self.get(f"/v1/experiments/{experiment_id}/runs", **asked))

    def experiment_run(self, run_id: str) -> RunDetail:
        """A run with its logged models and the versions made from it."""
        return RunDetail.model_validate(self.get(f"/v1/runs/{part(run_id)}"))

    def metric_history(self, run_id: str, key: str) -> tuple[MetricValue, ...]:
        """Every value of a metric, by step and time."""
        return tuple(map(MetricValue.model_validate, self.pages(f"/v1/runs/{part(run_id)}/metrics/{part(key)}")))

    def run_artifacts(self, run_id: str, path: str = "") -> tuple[ArtifactInfo, ...]:
        """Files and folders directly inside of a folder of a run."""
        found = self.request("GET", f"/v1/runs/{part(run_id)}/artifacts", params={"path": path}).json()
        return tuple(map(ArtifactInfo.model_validate, found["items"]))

    def run_artifact(self, run_id: str, path: str) -> Iterator[bytes]:
        """The bytes of a file of a run, in chunks."""
        name = "/".join(map(part, path.split("/")))
        return self.streamed(f"/v1/runs/{part(run_id)}/artifacts/{name}")
