"""Versions: made in two phases, never changed, moved by the table."""

from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import ModelManifest, digest_of
from modelyard_registry.domain.errors import AliasInUse, DuplicateVersion, IdempotencyKeyReused, MissingBlobs
from modelyard_registry.domain.names import MANIFEST_FILE
from modelyard_registry.domain.ports import Blobs, Deps, Records
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Story, Version
from modelyard_registry.usecases.ledger import move
from modelyard_runtime.errors import Invalid


def create_version(
    deps: Deps, model: str, manifest: ModelManifest, *, idempotency_key: str, story: Story
) -> tuple[Version, bool]:
    """A pending version, and whether it is new; the same key gives the same version.

    DuplicateVersion: the same bytes came under another key. IdempotencyKeyReused: other bytes under this key.
    """
    canonical = _checked(model, manifest)
    digest = digest_of(canonical)
    with deps.storage.transaction() as unit:
        unit.records.lock_model(model)
        if known := _known(unit.records, model, digest, idempotency_key):
            return known, False
        version = Version(
            model=model,
            version=unit.records.next_version(model),
            digest=digest,
            stage=VersionStage.PENDING,
            idempotency_key=idempotency_key,
            manifest=canonical.decode(),
            flavour=manifest.flavour,
            feature_schema_id=manifest.feature_schema.id,
            run_id=manifest.training.run_id,
            metrics=dict(manifest.training.metrics),
            correlation_id=story.correlation_id,
            cause_id=story.cause_id,
            created_at=story.at,
            created_by=story.actor,
            last_event_id=None,
        )
        unit.records.add_version(version)
        return version, True


def _known(records: Records, model: str, digest: str, idempotency_key: str) -> Version | None:
    if (known := records.version_by_key(model, idempotency_key)) is not None:
        if known.digest != digest:
            raise IdempotencyKeyReused(model, known.version)
        return known
    if (twin := records.version_by_digest(model, digest)) is not None:
        raise DuplicateVersion(model, digest, twin.version)
    return None


def _checked(model: str, manifest: ModelManifest) -> bytes:
    """The canonical bytes of a manifest that makes sense."""
    if manifest.model != model:
        raise Invalid(f"manifest.model is {manifest.model!r}, the path says {model!r}", field="manifest.model")
    paths = [entry.path for entry in manifest.files]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise Invalid(f"manifest.files: {', '.join(twice)} is there more than once", field="manifest.files")
    if MANIFEST_FILE in paths:
        raise Invalid(f"manifest.files: {MANIFEST_FILE} is the manifest itself; rename it", field="manifest.files")
    if inside := sorted(path for path in paths if any(other.startswith(f"{path}/") for other in paths)):
        raise Invalid(f"manifest.files: {inside[0]} is a file and a folder", field="manifest.files")
    if "\x00" in manifest.flavour or "\x00" in (manifest.training.run_id or ""):
        raise Invalid("manifest: flavour and run_id may not hold the character NUL", field="manifest")
    try:
        return manifest.canonical()
    except UnicodeEncodeError as error:
        raise Invalid("manifest: a text holds half a character (a lone surrogate)", field="manifest") from error
    except ValueError as error:
        raise Invalid("manifest: NaN and infinity are no JSON; leave such numbers out", field="manifest") from error


def missing_blobs(blobs: Blobs, version: Version, *, thorough: bool = False) -> tuple[str, ...]:
    """Digests the version needs and the store lacks; thorough: reads every byte, so damaged counts as absent."""
    needed = {entry.digest for entry in ModelManifest.model_validate_json(version.manifest).files}
    if thorough:
        return tuple(sorted(digest for digest in needed if not blobs.sound(digest)))
    return tuple(sorted(digest for digest in needed if blobs.size(digest) is None))


def finalize_version(deps: Deps, model: str, number: int, *, actor: str) -> Version:
    """Pending becomes registered once every blob is there, whole and of the stated size; repeats change nothing."""
    with deps.storage.read() as records:
        version = records.version(model, number)
    if version.stage is not VersionStage.PENDING:
        return version
    _verify(deps.blobs, version)  # outside the transaction: reading gigabytes must not hold a lock
    with deps.storage.transaction() as unit:
        unit.records.lock_model(model)
        version = unit.records.version(model, number)
        if version.stage is VersionStage.PENDING:
            story = Story(actor, "", deps.clock(), version.correlation_id, version.cause_id)
            move(unit, version, Signal.FINALIZED, story)
        return unit.records.version(model, number)


def _verify(blobs: Blobs, version: Version) -> None:
    if missing := missing_blobs(blobs, version, thorough=True):
        raise MissingBlobs(missing)
    for entry in ModelManifest.model_validate_json(version.manifest).files:
        if (size := blobs.size(entry.digest)) != entry.size_bytes:
            raise Invalid(
                f"manifest.files: {entry.path} has {size} bytes, the manifest says {entry.size_bytes}; "
                "make a new version from a right manifest",
                field="manifest.files",
            )


def decide(deps: Deps, model: str, number: int, signal: Signal, *, actor: str, reason: str) -> Version:
    """A person approves, rejects or retires; IllegalMove where the table has no such move."""
    with deps.storage.transaction() as unit:
        unit.records.lock_model(model)
        version = unit.records.version(model, number)
        if signal in (Signal.RETIRED, Signal.REJECTED):
            _refuse_in_use(unit.records, version)
        story = Story(actor, reason, deps.clock(), version.correlation_id, version.last_event_id)
        move(unit, version, signal, story)
        return unit.records.version(model, number)


def _refuse_in_use(records: Records, version: Version) -> None:
    if held := aliases_at(records, version.model, version.version):
        raise AliasInUse(version.version, held)


def aliases_at(records: Records, model: str, number: int) -> tuple[str, ...]:
    return tuple(alias.alias for alias in records.aliases(model) if alias.version == number)
