"""Versions: made in two phases, immutable, moved by the table of stages."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.admission import Inadmissible
from modelyard_registry.domain.errors import (
    DuplicateSemver,
    DuplicateVersion,
    IdempotencyKeyReused,
    MissingBlobs,
    SemverIsSet,
    SignatureConflict,
    StaleLabels,
)
from modelyard_registry.domain.kinds import KINDS, Content, ManifestSource
from modelyard_registry.domain.names import CONNECTION, key_of
from modelyard_registry.domain.ports import Blobs, Deps, Records, Unit
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Origin, Resource, ResourceKey, Version, VersionFilter
from modelyard_registry.usecases.admission import Inspection, admit, check_permissions, inspect, refused_before
from modelyard_registry.usecases.history import move, origin_of, save_labels
from modelyard_registry.usecases.policies import gate_of
from modelyard_registry.usecases.resemblance import refuse_copies
from modelyard_runtime.errors import Invalid, NotFound

CONNECTION_FIELD = "manifest.options.connection"


def create_version(
    deps: Deps,
    key: ResourceKey,
    manifest: ManifestSource,
    *,
    idempotency_key: str,
    origin: Origin,
    semver: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> tuple[Version, bool]:
    """Return a pending version and whether it is new; the same idempotency key returns the same version.

    DuplicateVersion: the same bytes under another key. IdempotencyKeyReused: other bytes under this key.
    SignatureConflict: the schema id stands for another signature.
    """
    content = _checked(key, manifest)
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        if known := _known(unit, resource, content.digest, idempotency_key):
            return known, False
        _claim_signature(unit, resource, content)
        _check_semver(unit, resource, semver)
        _claim_connection(unit, resource, content)
        version = _pending(unit.versions.next_number(resource), content, idempotency_key, origin)
        version = replace(version, semver=semver, tags=dict(tags or {}))
        unit.versions.add(resource, version, content.files)
        unit.lineage.add(resource, version.version, content.links)
        return version, True


def _checked(key: ResourceKey, manifest: ManifestSource) -> Content:
    kind = KINDS[key.kind]
    content = kind.validate(manifest)
    kind.admit(content)
    if content.reference != key.reference:
        field = f"manifest.{key.kind}"
        raise Invalid(f"{field} is {content.reference!r}, the path says {key.reference!r}", field=field)
    return content


def _known(records: Records, resource: Resource, digest: str, idempotency_key: str) -> Version | None:
    if (known := records.versions.by_idempotency_key(resource, idempotency_key)) is not None:
        if known.digest != digest:
            raise IdempotencyKeyReused(resource.key, known.version)
        return known
    if (twin := records.versions.by_digest(resource, digest)) is not None:
        raise DuplicateVersion(resource.key, digest, twin.version)
    return None


def _claim_signature(unit: Unit, resource: Resource, content: Content) -> None:
    if content.feature_schema_id is None or content.signature_digest is None:
        return
    first = unit.signatures.claim(resource.key.workspace, content.feature_schema_id, content.signature_digest)
    if first != content.signature_digest:
        raise SignatureConflict(content.feature_schema_id)


def _claim_connection(unit: Unit, resource: Resource, content: Content) -> None:
    """Keep the connection that the version names from being deleted before the version is stored."""
    if content.connection is None:
        return
    key = key_of(CONNECTION, content.connection, field=CONNECTION_FIELD)
    if key.workspace != resource.key.workspace:
        raise Invalid(
            f"{CONNECTION_FIELD}: {key.reference!r} is in another workspace; create one in {resource.key.workspace!r}",
            field=CONNECTION_FIELD,
        )
    try:
        stored = unit.connections.get(unit.resources.lock(key))
    except NotFound:
        stored = None
    if stored is None or stored.document is None:
        raise Invalid(
            f"{CONNECTION_FIELD}: there is no connection {key.reference!r}; create it with `modelyard connections set`",
            field=CONNECTION_FIELD,
        )


def _check_semver(records: Records, resource: Resource, semver: str | None) -> None:
    if semver is not None and records.versions.page(resource, 0, 1, VersionFilter(semver=semver)):
        raise DuplicateSemver(semver)


def _pending(number: int, content: Content, idempotency_key: str, origin: Origin) -> Version:
    return Version(
        version=number,
        digest=content.digest,
        stage=VersionStage.PENDING,
        idempotency_key=idempotency_key,
        manifest=content.data,
        flavour=content.flavour,
        feature_schema_id=content.feature_schema_id,
        task=content.task,
        run_id=content.run_id,
        metrics=dict(content.metrics),
        semver=None,
        tags={},
        correlation_id=origin.correlation_id,
        cause_id=origin.cause_id,
        created_at=origin.at,
        created_by=origin.actor,
        last_event_id=None,
        framework=content.framework,
        license=(content.source and content.source.license) or None,
        source_kind=content.source.kind if content.source else None,
    )


def missing_blobs(blobs: Blobs, files: Sequence[FileEntry]) -> tuple[str, ...]:
    """Digests that the files need and the store lacks."""
    return tuple(sorted(digest for digest in {entry.digest for entry in files} if blobs.size(digest) is None))


def finalize_version(deps: Deps, key: ResourceKey, number: int, *, actor: str, may_allow_code: bool = False) -> Version:
    """Register a pending version once its blobs are present, intact and admitted by the scan; repeats change nothing.

    may_allow_code: the actor may grant the permissions that the manifest asks for.
    Inadmissible rejects the version, unless a permission would help; PermissionNotGranted and ResemblesAnother change
    nothing.
    """
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        version = records.versions.get(resource, number)
        files = records.versions.files(resource, number)
        if refused := refused_before(records, resource, version):
            raise refused
        if version.stage is not VersionStage.PENDING:
            return version
        check_permissions(records, resource, version, may_allow=may_allow_code)
    # Outside of the transaction: reading gigabytes must not hold a lock. A crash before the commit repeats both.
    _verify(deps.blobs, files)
    found = inspect(deps, files) if KINDS[key.kind].scanned else None
    with deps.storage.transaction() as unit:
        refused = _admit_and_register(unit, unit.resources.lock(key), number, found, origin_of(deps, actor))
    if refused is not None:
        raise refused
    with deps.storage.read() as records:
        return records.versions.get(resource, number)


def _admit_and_register(
    unit: Unit, resource: Resource, number: int, found: Inspection | None, origin: Origin
) -> Inadmissible | None:
    """Register the version unless another call has done so since, or the scan refuses it."""
    version = unit.versions.get(resource, number)
    if version.stage is not VersionStage.PENDING:
        return refused_before(unit, resource, version)
    origin = replace(origin, correlation_id=version.correlation_id, cause_id=version.cause_id)
    refuse_copies(unit, resource, version)
    refused = None if found is None else admit(unit, resource, version, found, origin)
    if refused is None:
        _register(unit, resource, version, origin)
    return refused


def _verify(blobs: Blobs, files: Sequence[FileEntry]) -> None:
    """Read every byte: a damaged blob counts as missing."""
    sound = {digest: blobs.sound(digest) for digest in {entry.digest for entry in files}}
    if missing := sorted(digest for digest, present in sound.items() if not present):
        raise MissingBlobs(missing)
    for entry in files:
        if (size := blobs.size(entry.digest)) != entry.size_bytes:
            raise Invalid(
                f"manifest.files: {entry.path[:80]} has {size} bytes, the manifest says {entry.size_bytes}; "
                "register a new version with a correct manifest",
                field="manifest.files",
            )


def _register(unit: Unit, resource: Resource, version: Version, origin: Origin) -> None:
    """Publish the version, and make the moves that its kind needs no evidence for."""
    revision, gate = gate_of(unit, resource)
    cause = move(unit, resource, version, Signal.FINALIZED, origin)
    for signal in KINDS[resource.key.kind].gate(gate):
        reason = f"gate policy revision {revision}: a {resource.key.kind} needs no evaluation"
        current = unit.versions.get(resource, version.version)
        cause = move(unit, resource, current, signal, replace(origin, actor="gate", reason=reason, cause_id=cause))


def label_version(
    deps: Deps,
    key: ResourceKey,
    number: int,
    *,
    semver: str | None,
    tags: Mapping[str, str] | None,
    origin: Origin,
    expected_revision: int | None = None,
) -> Version:
    """Replace the tags and set the semver label; None leaves them. A label that is set never changes.

    StaleLabels when the labels are not at `expected_revision` any more; None does not compare.
    """
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        version = unit.versions.get(resource, number)
        if expected_revision is not None and expected_revision != version.labels_revision:
            raise StaleLabels(number, expected_revision, version.labels_revision)
        if semver is not None and version.semver not in (None, semver):
            raise SemverIsSet(number, str(version.semver))
        if semver is not None and version.semver is None:
            _check_semver(unit, resource, semver)
        wanted = replace(version, semver=semver or version.semver, tags=version.tags if tags is None else dict(tags))
        if (wanted.semver, wanted.tags) != (version.semver, version.tags):
            save_labels(unit, resource, wanted, origin)
        return unit.versions.get(resource, number)
