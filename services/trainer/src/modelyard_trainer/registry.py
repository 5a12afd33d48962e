"""The registry as the trainer sees it: policies and schemas in, datasets and versions out."""

from pathlib import Path
from typing import Any, Final

from modelyard import ApiError, RegistryClient
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.errors import BadRequest, RegistryAway
from modelyard_trainer.domain.ports import Served
from modelyard_trainer.domain.run import Run
from modelyard_trainer.rundir import RunDir

SERVING_ALIAS: Final = "champion"
ACTOR: Final = "trainer"
MAX_OLDER_BYTES: Final = 256 * 2**20
"""A retraining does without an older dataset above this: it is fetched for the sake of its newest rows only."""


class RegistryGateway:
    """domain.ports.Registry over HTTP, and the two things that only the supervisor does: inputs and publishing."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def retrain_policy(self, model: str) -> RetrainPolicy | None:
        try:
            return self._client.policy(model, "retrain")
        except ApiError as error:
            if error.status == 404:
                return None
            raise _away(error) from error

    def serving_version(self, model: str) -> int | None:
        try:
            alias = self._client.alias(model, SERVING_ALIAS)
        except ApiError as error:
            raise _away(error) from error
        return None if alias is None else alias.version

    def served(self, model: str) -> Served | None:
        """Of the version that serves, else of the newest; None before the first."""
        try:
            version = self.serving_version(model)
            if version is None:
                version = max((one.version for one in self._client.versions(model)), default=None)
            if version is None:
                return None
            manifest = self._client.manifest(model, version)
            return Served(manifest.feature_schema, manifest.training.dataset_digest)
        except ApiError as error:
            raise _away(error) from error

    def fetch_older(self, digest: str, target: Path) -> bool:
        """A dataset to fill a window with, as a file; False when the registry has it no more or it is too large."""
        if target.exists():
            return True
        try:
            if self._client.dataset(digest).size_bytes > MAX_OLDER_BYTES:
                return False
            self._client.get_blob(digest, target)
        except ApiError as error:
            if error.status == 404:
                return False
            raise _away(error) from error
        return True

    def fetch_dataset(self, digest: str, target: Path) -> None:
        """The rows of a dataset as a file, verified. BadRequest when there is none of that digest."""
        if target.exists():
            return
        try:
            self._client.get_blob(digest, target)
        except ApiError as error:
            if error.status == 404:
                raise BadRequest(
                    f"dataset_digest: the registry has no {digest}; upload the blob and POST /v1/datasets first",
                    field="dataset_digest",
                ) from error
            raise _away(error) from error

    def publish(self, run: Run, place: RunDir, result: dict[str, Any]) -> int:
        """Dataset and version of a finished run; repeats, after a crash at any point, give the same version."""
        try:
            if (snapshot := place.snapshot()) is not None:
                self._publish_dataset(run, place, snapshot)
            manifest = ModelManifest.model_validate(result["manifest"])
            version = self._client.register(
                manifest,
                {entry.path: place.model / entry.path for entry in manifest.files},
                idempotency_key=str(run.id),
                correlation_id=run.correlation_id,
                cause_id=run.event(run.created_at).event_id,
                actor=ACTOR,
            )
        except ApiError as error:
            raise _away(error) from error
        return version.version

    def _publish_dataset(self, run: Run, place: RunDir, snapshot: dict[str, Any]) -> None:
        digest = self._client.put_blob(place.data)
        if digest != snapshot["digest"]:
            raise BadRequest(f"dataset: data.parquet has become {digest}, the snapshot was {snapshot['digest']}")
        self._client.create_dataset(
            digest,
            f"{run.model}-{run.as_of:%Y%m%dT%H%M%S}",
            model=run.model,
            rows=snapshot["rows"],
            size_bytes=place.data.stat().st_size,
            columns=snapshot["columns"],
            source=snapshot["source"],
        )


def _away(error: ApiError) -> RegistryAway | BadRequest:
    """Retry what may succeed later; the rest is the run's end, in the registry's words."""
    if error.retryable:
        return RegistryAway(str(error))
    return BadRequest(f"the registry refused: {error}", field=error.field)
