"""Requests that the registry refuses."""

from collections.abc import Sequence
from typing import Final

from modelyard_registry.domain.values import ResourceKey
from modelyard_runtime.errors import Conflict, Invalid, NotFound

MAX_LISTED: Final = 20


class ResourceNotFound(NotFound):
    """No resource has this name; raised as the subclass of its kind."""

    def __init__(self, key: ResourceKey) -> None:
        super().__init__(f"there is no {key.kind} {key.reference!r}; create it first")


class ModelNotFound(ResourceNotFound):
    code = "model_not_found"


class DatasetNotFound(ResourceNotFound):
    code = "dataset_not_found"


class PromptNotFound(ResourceNotFound):
    code = "prompt_not_found"


class ConnectionNotFound(ResourceNotFound):
    code = "connection_not_found"


class WorkspaceNotFound(NotFound):
    code = "workspace_not_found"

    def __init__(self, workspace: str) -> None:
        super().__init__(f"there is no workspace {workspace!r}; create it first", field="workspace")


NOT_FOUND: Final = {
    "model": ModelNotFound,
    "dataset": DatasetNotFound,
    "prompt": PromptNotFound,
    "connection": ConnectionNotFound,
}


def resource_not_found(key: ResourceKey) -> NotFound:
    """The error of a resource that does not exist."""
    if key.kind == "workspace":
        return WorkspaceNotFound(key.name)
    return NOT_FOUND[key.kind](key)


class VersionNotFound(NotFound):
    code = "version_not_found"

    def __init__(self, key: ResourceKey, version: int) -> None:
        super().__init__(f"{key.kind} {key.reference!r} has no version {version}")


class AliasNotFound(NotFound):
    code = "alias_not_found"

    def __init__(self, key: ResourceKey, alias: str) -> None:
        super().__init__(f"{key.kind} {key.reference!r} has no alias {alias[:80]!r}")


class BlobNotFound(NotFound):
    code = "blob_not_found"

    def __init__(self, digest: str) -> None:
        super().__init__(f"there is no blob {digest}; upload it first")


class DatasetFileNotFound(NotFound):
    """No dataset version has this file."""

    code = "dataset_not_found"

    def __init__(self, digest: str) -> None:
        super().__init__(f"no dataset has the file {digest}")


class KeyNotFound(NotFound):
    code = "api_key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id[:80]!r}")


class ExperimentNotFound(NotFound):
    code = "experiment_not_found"

    def __init__(self, which: str, workspace: str) -> None:
        super().__init__(f"there is no experiment {which[:80]!r} in the workspace {workspace}; create it first")


class RunNotFound(NotFound):
    code = "run_not_found"

    def __init__(self, run_id: str, workspace: str) -> None:
        super().__init__(f"there is no run {run_id[:80]!r} in the workspace {workspace}")


class LoggedModelNotFound(NotFound):
    code = "logged_model_not_found"

    def __init__(self, model_id: str, workspace: str) -> None:
        super().__init__(f"there is no logged model {model_id[:80]!r} in the workspace {workspace}")


class ArtifactNotFound(NotFound):
    code = "artifact_not_found"

    def __init__(self, owner: str, path: str) -> None:
        super().__init__(f"{owner} has no artifact {path[:200]!r}; list its artifacts to see their paths")


class ExperimentExists(Conflict):
    code = "experiment_exists"

    def __init__(self, name: str, lifecycle: str) -> None:
        remedy = "restore it" if lifecycle == "deleted" else "use it"
        super().__init__(f"the experiment {name[:80]!r} exists and is {lifecycle}; {remedy}, or take another name")


class Deleted(Conflict):
    """A deleted experiment or run takes no values."""

    code = "deleted"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is deleted; restore it first")


class ParamIsSet(Conflict):
    """A parameter of a run never changes."""

    code = "param_is_set"

    def __init__(self, key: str, value: str, new: str) -> None:
        super().__init__(
            f"the parameter {key!r} is {value[:80]!r} and never changes; log {new[:80]!r} under another name, "
            "or in another run",
            field="params",
        )


class WrittenByTrainer(Conflict):
    """The platform itself writes this run."""

    code = "written_by_trainer"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} is a training run of the platform; set tags on it, nothing else")


class UnknownCursor(Invalid):
    """A page token of another list, or of another order."""

    def __init__(self) -> None:
        super().__init__(
            "page_token: is no cursor of this list; send the one of the page before, with the same order",
            field="page_token",
        )


class ResourceExists(Conflict):
    """The name is taken by a resource with other content."""

    code = "resource_exists"

    def __init__(self, key: ResourceKey, fields: Sequence[str]) -> None:
        super().__init__(f"{key.kind} {key.reference!r} exists with another {', '.join(fields)}", field=fields[0])


class DuplicateVersion(Conflict):
    """The same bytes under another idempotency key."""

    code = "duplicate_version"

    def __init__(self, key: ResourceKey, digest: str, version: int) -> None:
        super().__init__(
            f"version {version} of {key.kind} {key.reference!r} already has the digest {digest}", field="manifest"
        )
        self.version = version


class DuplicateSemver(Conflict):
    code = "duplicate_semver"

    def __init__(self, semver: str) -> None:
        super().__init__(f"another version has the label {semver}; take the next one", field="semver")


class SemverIsSet(Conflict):
    code = "semver_is_set"

    def __init__(self, version: int, semver: str) -> None:
        super().__init__(f"version {version} has the label {semver}, which never changes", field="semver")


class SignatureConflict(Conflict):
    """One feature schema id with two signatures: readers could not tell them apart."""

    code = "signature_conflict"

    def __init__(self, schema_id: str) -> None:
        super().__init__(
            f"the feature schema id {schema_id} stands for another signature in this workspace; "
            "write the manifest with a new id",
            field="manifest.feature_schema_id",
        )


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"

    def __init__(self, key: ResourceKey, version: int) -> None:
        super().__init__(
            f"this idempotency key made version {version} of {key.kind} {key.reference!r} from another manifest; "
            "take a new key",
            field="idempotency_key",
        )


class SamePerson(Conflict):
    """Four eyes: the person who registered a version cannot approve it."""

    code = "same_person"

    def __init__(self, version: int, identity: str) -> None:
        super().__init__(
            f"{identity} registered version {version}; the gate policy asks for an approval by another person",
            field="actor",
        )


class MissingBlobs(Conflict):
    """A version cannot be finalized yet."""

    code = "missing_blobs"

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__(f"upload these files first: {_some(digests)}")
        self.digests = tuple(digests)


class ResemblesAnother(Conflict):
    """The gate policy refuses copies of another model's version."""

    code = "resembles_another"

    def __init__(self, other: str) -> None:
        super().__init__(f"the files are byte-identical to {other}, and the gate policy refuses copies")
        self.remedy = "use that version, or set resemblance of the gate policy to warn and finalize again"


class StaleGeneration(Conflict):
    """Another move of the alias came first."""

    code = "stale_generation"

    def __init__(self, alias: str, expected: int, current: int) -> None:
        super().__init__(
            f"alias {alias!r} is at generation {current}, not {expected}; read it again, then decide again",
            field="expected_generation",
        )
        self.current = current


class StaleRevision(Conflict):
    """Another change of the policy came first."""

    code = "stale_revision"

    def __init__(self, kind: str, expected: int, current: int) -> None:
        super().__init__(
            f"the {kind} policy is at revision {current}, not {expected}; read it again, then decide again",
            field="expected_revision",
        )
        self.current = current


class StaleLabels(Conflict):
    """Another change of the labels of the version came first."""

    code = "stale_labels"

    def __init__(self, version: int, expected: int, current: int) -> None:
        super().__init__(
            f"the tags of version {version} are at revision {current}, not {expected}; read them again, then change "
            "them again",
            field="expected_revision",
        )
        self.current = current


class StaleOwner(Conflict):
    """Another change of the owner came first."""

    code = "stale_owner"

    def __init__(self, key: ResourceKey, owner: str) -> None:
        super().__init__(
            f"the owner of the {key.kind} {key.reference} is {repr(owner) if owner else 'not set'}, not the expected "
            "one; read it again, then decide again",
            field="expected_owner",
        )
        self.owner = owner


class StaleCard(Conflict):
    """Another edit of the card came first."""

    code = "stale_card"

    def __init__(self, version: int, expected: int, current: int) -> None:
        super().__init__(
            f"the card of version {version} is at revision {current}, not {expected}; read it again, then edit again",
            field="expected_revision",
        )
        self.current = current


class CardNotReleased(NotFound):
    code = "card_not_released"

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version} was never approved, so its card is not frozen; read .../card instead")


class StaleStage(Conflict):
    """The version has moved since the decision about it was made."""

    code = "stale_stage"

    def __init__(self, version: int, expected: str, current: str) -> None:
        super().__init__(
            f"version {version} is {current} by now, not {expected}; read it again, then decide again",
            field="expected_stage",
        )
        self.current = current


class IllegalMove(Conflict):
    """The table of stages has no such move."""

    code = "illegal_move"

    def __init__(self, stage: str, signal: str) -> None:
        super().__init__(f"a version that is {stage} cannot be {signal}")


class AliasInUse(Conflict):
    code = "alias_in_use"

    def __init__(self, version: int, aliases: Sequence[str]) -> None:
        remedy = "move it first (the champion moves by a roll-back or a promotion)"
        super().__init__(f"version {version} still has the alias {', '.join(aliases)}; {remedy}")


class UnfitForAlias(Conflict):
    code = "unfit_for_alias"

    def __init__(self, alias: str, version: int, stage: str) -> None:
        super().__init__(f"version {version} is {stage}; alias {alias!r} cannot point at it", field="version")


class MovedByRollouts(Conflict):
    """The champion is the version that serves, so only traffic moves it."""

    code = "moved_by_rollouts"

    def __init__(self, alias: str) -> None:
        super().__init__(f"rollouts move the alias {alias!r} of a model; deploy or roll back a version", field="alias")


class WrongDigest(Invalid):
    """The bytes do not have the digest in their name."""

    code = "digest_mismatch"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"the bytes have the digest {found}, not {expected}; nothing was stored", field="digest")


class EvidenceMismatch(Invalid):
    """The event is about other bytes than the version has."""

    code = "evidence_mismatch"

    def __init__(self, model: str, version: int, digest: str, event_digest: str) -> None:
        super().__init__(f"version {version} of model {model!r} has the digest {digest}; the event has {event_digest}")


class KeyNotActive(Conflict):
    """A key that cannot be rotated."""

    code = "key_not_active"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key {key_id} is revoked or expired; create a new one")


def _some(digests: Sequence[str]) -> str:
    rest = len(digests) - MAX_LISTED
    return ", ".join(digests[:MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
