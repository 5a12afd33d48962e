"""What the registry refuses, and why."""

from collections.abc import Sequence

from modelyard_runtime.errors import Conflict, Invalid, NotFound


class ModelNotFound(NotFound):
    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no model {name!r}; POST /v1/models creates it")


class VersionNotFound(NotFound):
    code = "version_not_found"

    def __init__(self, model: str, version: int) -> None:
        super().__init__(f"model {model!r} has no version {version}")


class AliasNotFound(NotFound):
    code = "alias_not_found"

    def __init__(self, model: str, alias: str) -> None:
        super().__init__(f"alias {alias!r} of model {model!r} points nowhere")


class BlobNotFound(NotFound):
    code = "blob_not_found"

    def __init__(self, digest: str) -> None:
        super().__init__(f"there is no blob {digest}; PUT /v1/blobs/{digest} uploads it")


class DatasetNotFound(NotFound):
    code = "dataset_not_found"

    def __init__(self, digest: str) -> None:
        super().__init__(f"there is no dataset {digest}")


class KeyNotFound(NotFound):
    code = "api_key_not_found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id!r}")


class ModelExists(Conflict):
    code = "model_exists"

    def __init__(self, name: str, fields: Sequence[str]) -> None:
        super().__init__(f"model {name!r} exists with another {', '.join(fields)}", field=fields[0])


class DuplicateVersion(Conflict):
    """The same bytes under another idempotency key."""

    code = "duplicate_version"

    def __init__(self, model: str, digest: str, version: int) -> None:
        super().__init__(f"version {version} of model {model!r} already has the digest {digest}", field="manifest")
        self.version = version


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"this idempotency key made version {version} of model {model!r} from another manifest; take a new key",
            field="idempotency_key",
        )


class MissingBlobs(Conflict):
    """A version cannot be finalized yet."""

    code = "missing_blobs"

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__(f"upload these blobs first (PUT /v1/blobs/<digest>): {', '.join(digests)}")
        self.digests = tuple(digests)


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


class IllegalMove(Conflict):
    """The table of stages does not hold this move."""

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


class WrongDigest(Invalid):
    """The bytes are not what their name says."""

    code = "digest_mismatch"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"the bytes have the digest {found}, not {expected}; nothing was stored", field="digest")


class EvidenceMismatch(Invalid):
    """An event speaks of other bytes than the version has."""

    code = "evidence_mismatch"

    def __init__(self, model: str, version: int, has: str, told: str) -> None:
        super().__init__(f"version {version} of model {model!r} has the digest {has}; the event speaks of {told}")
