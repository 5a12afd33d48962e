"""Registry adapter: reads policies and signatures, publishes datasets and versions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from modelyard import ApiError, RegistryClient
from modelyard_contracts import VersionStage, derived_id
from modelyard_contracts.documents import DocumentError
from modelyard_contracts.manifest import ROW_ORDER, TARGET_FACT, TIME_FACT, ManifestFile, ModelManifest
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.data import TIME
from modelyard_trainer.domain.errors import BadRequest, RegistryAway
from modelyard_trainer.domain.jobs import Output
from modelyard_trainer.domain.learners import BASE_FACT
from modelyard_trainer.domain.ports import Served
from modelyard_trainer.domain.run import Run

SERVING_ALIAS: Final = "champion"
ACTOR: Final = "trainer"
MAX_OLDER_BYTES: Final = 256 * 2**20
"""Larger older datasets are not used: only their newest rows would be needed."""


class RegistryGateway:
    """domain.ports.Registry over HTTP, and the supervisor's calls: fetching datasets and publishing."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def retrain_policy(self, model: str) -> RetrainPolicy | None:
        try:
            return self._decided(model, self._client.policy(model, "retrain"))
        except DocumentError as error:
            raise _unreadable(error) from error
        except ApiError as error:
            if error.status == 404:
                return None
            raise _away(error) from error

    def _decided(self, model: str, policy: RetrainPolicy) -> RetrainPolicy:
        """The policy with `learn_holdout: auto` decided: members of a vote are judged by labels of later rows."""
        if policy.learn_holdout != "auto":
            return policy
        try:
            votes = self._client.policy(model, "rollout").strategy == "adaptive"
        except DocumentError:  # of a newer release: rows that any evaluator can use stay held out
            votes = False
        return policy.model_copy(update={"learn_holdout": "always" if votes else "never"})

    def serving_version(self, model: str) -> int | None:
        try:
            alias = self._client.alias(model, SERVING_ALIAS)
        except ApiError as error:
            raise _away(error) from error
        return None if alias is None else alias.version

    def served(self, model: str) -> Served | None:
        """Return facts of the serving version, else of the newest; None if there is no version."""
        try:
            version = self.serving_version(model)
            if version is None:
                version = max((one.version for one in self._client.versions(model)), default=None)
            if version is None:
                return None
            manifest = self._client.manifest(model, version)
            base = base_of(manifest)
            if base is not None:  # a snapshot of an online learner has no dataset of its own
                version, manifest = base, self._client.manifest(model, base)
            return served_of(manifest, version)
        except DocumentError as error:
            raise _unreadable(error) from error
        except ApiError as error:
            raise _away(error) from error

    def dataset_columns(self, digest: str) -> Mapping[str, str] | None:
        """Column name to type of a registered dataset; None if it is unknown."""
        try:
            return self._client.dataset(digest).columns or None
        except ApiError as error:
            if error.status == 404:
                return None
            raise _away(error) from error

    def fetch_older(self, digest: str, target: Path) -> bool:
        """Download a dataset that fills a window; False if the registry no longer has it or it is too large."""
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
        """Download a dataset and verify its digest. BadRequest if the registry does not have it."""
        if target.exists():
            return
        try:
            self._client.get_blob(digest, target)
        except ApiError as error:
            if error.status == 404:
                raise BadRequest(
                    f"dataset_digest: the registry has no {digest}; upload and register it first",
                    field="dataset_digest",
                ) from error
            raise _away(error) from error

    def publish(self, run: Run, output: Output) -> int:
        """Publish dataset and version of a finished run; a repeat after a crash returns the same version."""
        try:
            if output.snapshot is not None:
                self._publish_dataset(run, output.dataset, output.snapshot)
            file = ManifestFile.read(output.manifest)
            version = self._client.register(
                file,
                {entry.path: output.files / entry.path for entry in file.manifest.files},
                idempotency_key=str(run.id),
                correlation_id=run.correlation_id,
                cause_id=run.event(run.created_at).event_id,
                actor=ACTOR,
            )
        except ApiError as error:
            raise _away(error) from error
        if version.digest != file.digest:
            raise BadRequest(f"the registry registered {version.digest}; the manifest has the digest {file.digest}")
        return version.version

    def publish_snapshot(self, manifest: bytes, files: Path) -> int:
        """Publish a snapshot of an online learner; a repeat with the same bytes returns the same version."""
        try:
            file = ManifestFile.read(manifest)
            version = self._client.register(
                file,
                {entry.path: files / entry.path for entry in file.manifest.files},
                idempotency_key=str(derived_id("snapshot", file.digest)),
                correlation_id=derived_id("snapshot", file.digest),
                actor=ACTOR,
            )
        except ApiError as error:
            raise _away(error) from error
        return version.version

    def waits_for_verdict(self, model: str, version: int) -> bool:
        """Return whether the version has no verdict yet; False if it does not exist any more."""
        try:
            return self._client.version(model, version).stage in (VersionStage.PENDING, VersionStage.REGISTERED)
        except ApiError as error:
            if error.retryable:
                raise RegistryAway(str(error)) from error
        return False

    def retire_snapshot(self, model: str, version: int) -> bool:
        """Retire a version unless it serves; False if it serves now."""
        try:
            if self._client.version(model, version).stage is VersionStage.LIVE:
                return False
            self._client.retire(model, version, "newer snapshots of the same online learner exist", actor=ACTOR)
        except ApiError as error:
            if error.retryable:
                raise RegistryAway(str(error)) from error
        return True  # also if it is retired already, or gone

    def _publish_dataset(self, run: Run, data: Path, snapshot: Mapping[str, Any]) -> None:
        digest = self._client.put_blob(data)
        if digest != snapshot["digest"]:
            raise BadRequest(f"dataset: the file has the digest {digest}, the snapshot had {snapshot['digest']}")
        self._client.create_dataset(
            digest,
            f"{run.model}-{run.as_of:%Y%m%dT%H%M%S}",
            model=run.model,
            rows=snapshot["rows"],
            size_bytes=data.stat().st_size,
            columns=snapshot["columns"],
            source=snapshot["source"],
        )


def base_of(manifest: ModelManifest) -> int | None:
    """The version whose signature a snapshot of an online learner has; None for a version of a training run."""
    base = manifest.training.parameters.get(BASE_FACT)
    return int(base) if base is not None and base.isdecimal() else None


def served_of(manifest: ModelManifest, version: int | None = None) -> Served:
    """Facts of a version that a retraining takes over."""
    lineage = manifest.training
    time = lineage.parameters.get(TIME_FACT, TIME)
    return Served(
        signature=manifest.signature,
        signature_id=manifest.feature_schema_id,
        recipe=lineage.recipe,
        dataset_digest=lineage.dataset_digest,
        dataset_time=None if time == ROW_ORDER else time,
        train_until=lineage.train_until,
        dataset_target=lineage.parameters.get(TARGET_FACT),
        version=version,
    )


def _unreadable(error: DocumentError) -> BadRequest:
    """A policy or manifest that this release cannot read; the text names the release that can."""
    return BadRequest(str(error), field="model")


def _away(error: ApiError) -> RegistryAway | BadRequest:
    """Map retryable errors to RegistryAway; all others end the run with the registry's message."""
    if error.retryable:
        return RegistryAway(str(error))
    return BadRequest(f"the registry refused: {error}", field=error.field)
