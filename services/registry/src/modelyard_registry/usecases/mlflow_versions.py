"""Versions from files that MLflow's client logged: described, scanned and registered like every other version."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from modelyard_contracts import VersionStage
from modelyard_contracts.example import EXAMPLE_FILE
from modelyard_contracts.manifest import FileEntry, digest_of
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.tracking import Artifact
from modelyard_registry.domain.values import Origin, ResourceKey, Version
from modelyard_registry.usecases.logged_models import logged_model_in
from modelyard_registry.usecases.run_artifacts import (
    MODELS,
    RUNS,
    VERSIONS,
    Place,
    artifacts_at,
    place_in_uri,
    place_of,
)
from modelyard_registry.usecases.versions import create_version, finalize_version
from modelyard_runtime.errors import Invalid

SOURCE: Final = "source"
SERVED: Final = "/mlflow-artifacts/artifacts/"


def source_place(text: str) -> Place:
    """Read a source: `runs:/ID/PATH`, `models:/m-ID`, `models:/NAME/NUMBER` or an artifact URI. Invalid otherwise."""
    parts = urlsplit(text)
    path = unquote(parts.path).strip("/")
    if parts.scheme == "runs":
        return place_of(f"{RUNS}/{path}")
    if parts.scheme == "models":
        return place_of(f"{MODELS if path.startswith('m-') else VERSIONS}/{path}")
    if parts.scheme == "mlflow-artifacts":
        return place_in_uri(path)
    if parts.scheme in ("http", "https") and SERVED in parts.path:
        return place_in_uri(unquote(parts.path).partition(SERVED)[2])
    raise Invalid(
        f"source: the files of {text[:120]!r} are not in this registry; log the model here first, or register a local "
        "folder with `modelyard register`",
        field=SOURCE,
    )


def register_logged(
    deps: Deps,
    key: ResourceKey,
    source: str,
    *,
    run_id: str,
    tags: Mapping[str, str],
    origin: Origin,
    may_allow_code: bool,
) -> Version:
    """Make a version of the files at a source; the same files again return the same version.

    Invalid when the model cannot be described; Inadmissible when the scan refuses it.
    """
    place = source_place(source)
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        files = _entries(records, key.workspace, place)
        run_id = run_id or _run_of(records, key.workspace, place)
        known = records.versions.by_idempotency_key(resource, _key_of(files))
    if known is None:
        manifest = _manifest(deps, key, files, source, run_id)
        known, _ = create_version(deps, key, manifest, idempotency_key=_key_of(files), origin=origin, tags={**tags})
    if known.stage is not VersionStage.PENDING:
        return known
    return finalize_version(deps, key, known.version, actor=origin.actor, may_allow_code=may_allow_code)


def _run_of(records: Records, workspace: str, place: Place) -> str:
    """The run that made the files, where the client does not state it."""
    if place.kind == RUNS:
        return place.owner
    if place.kind == MODELS:
        return logged_model_in(records, workspace, place.owner).source_run_id or ""
    return ""


def _entries(records: Records, workspace: str, place: Place) -> tuple[FileEntry, ...]:
    """Files below a place, by their path in it."""
    place = _of_logged_model(records, workspace, place)
    found = artifacts_at(records, workspace, place)
    start = len(place.path) + 1 if place.path else 0
    entries = [
        FileEntry(path=one.path[start:], digest=one.digest, size_bytes=one.size_bytes) for one in _inside(found, place)
    ]
    if not entries:
        raise Invalid(f"source: there are no files at {place.path or 'the root'!r} of {place.owner}", field=SOURCE)
    return tuple(sorted(entries, key=lambda entry: entry.path))


def _inside(found: Sequence[Artifact], place: Place) -> list[Artifact]:
    """Without the description that an earlier registration added: it is made again."""
    return [one for one in found if one.path != place.path and one.path.rpartition("/")[2] != EXAMPLE_FILE]


def _of_logged_model(records: Records, workspace: str, place: Place) -> Place:
    """`runs:/ID/NAME` names the logged model NAME of the run, unless the run has files there."""
    if place.kind != RUNS or artifacts_at(records, workspace, place):
        return place
    named = [one for one in records.logged_models.of_run(place.owner) if one.name == place.path]
    return Place(MODELS, named[-1].id, 0, "") if named else place


def _manifest(deps: Deps, key: ResourceKey, files: Sequence[FileEntry], source: str, run_id: str) -> Mapping[str, Any]:
    with deps.blobs.laid_out(files) as folder:
        described = deps.describer.describe(folder)
    deps.blobs.put(digest_of(described.example), [described.example])
    found = dict(described.manifest)
    example = FileEntry(path=EXAMPLE_FILE, digest=digest_of(described.example), size_bytes=len(described.example))
    listed = {entry.path for entry in files}
    kept = [entry for entry in found["files"] if entry["path"] in listed]
    return {
        **found,
        "model": key.reference,
        "files": [*kept, example.model_dump(mode="json")],
        "training": {**found["training"], **({"run_id": run_id} if run_id else {})},
        "source": {**found["source"], "uri": source[:2_048]},
    }


def _key_of(files: Sequence[FileEntry]) -> str:
    """Idempotency key: equal files under equal paths are one registration."""
    lines = "".join(f"{entry.digest} {entry.path}\n" for entry in files)
    return f"mlflow-{hashlib.sha256(lines.encode()).hexdigest()[:32]}"
