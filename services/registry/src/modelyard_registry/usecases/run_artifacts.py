"""Artifacts of runs, logged models and versions: files by path, whose bytes are blobs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from modelyard_registry.domain.errors import ArtifactNotFound
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.tracking import Artifact, check_path
from modelyard_registry.domain.values import ResourceKey
from modelyard_registry.usecases.logged_models import logged_model_in
from modelyard_registry.usecases.runs import open_run, run_in
from modelyard_runtime.errors import Conflict, Invalid

RUNS: Final = "runs"
MODELS: Final = "models"
VERSIONS: Final = "versions"
ROOT: Final = "artifacts"
"""Folder of the files of a run or logged model in URIs, as on MLflow's own server."""
MAX_FILES: Final = 20_000


class VersionIsFrozen(Conflict):
    """The files of a version never change."""

    code = "version_is_frozen"

    def __init__(self) -> None:
        super().__init__("the files of a registered version never change; log another model and register it")


@dataclass(frozen=True)
class Place:
    """A path of artifacts: `runs/<id>/...`, `models/<id>/...` or `versions/<name>/<number>/...`."""

    kind: str
    owner: str
    """Id of the run or logged model, or name of the model of a version."""
    version: int
    """0 unless it is about a version."""
    path: str
    """Of the file or folder; '' is everything."""


@dataclass(frozen=True)
class Listed:
    """One line of a folder. size_bytes: None for a folder."""

    path: str
    size_bytes: int | None


def place_of(text: str) -> Place:
    """Read the path of an artifact; Invalid otherwise."""
    kind, _, rest = text.strip("/").partition("/")
    owner, _, path = rest.partition("/")
    number = "0"
    if kind == VERSIONS:
        number, _, path = path.partition("/")
    if kind not in (RUNS, MODELS, VERSIONS) or not owner or not (number.isascii() and number.isdigit()):
        raise Invalid(
            f"path: {text[:80]!r} is no place of artifacts; it begins with runs/ID, models/ID or versions/NAME/NUMBER",
            field="path",
        )
    return Place(kind, owner, int(number[:9]), check_path(path) if path else "")


def place_in_uri(path: str) -> Place:
    """Read the path of an artifact URI, which has the folder ROOT between an id and a path."""
    found = place_of(path)
    first, _, rest = found.path.partition("/")
    return replace(found, path=rest) if found.kind != VERSIONS and first == ROOT else found


def uri_of(kind: str, owner: str) -> str:
    """The artifact URI of a run, a logged model, or (`name/number`) of a version."""
    return f"mlflow-artifacts:/{kind}/{owner}" + ("" if kind == VERSIONS else f"/{ROOT}")


def artifacts_at(records: Records, workspace: str, place: Place) -> Sequence[Artifact]:
    """Files below a place, by path; a file is alone. Errors when the run, the model or the version does not exist."""
    if place.kind == VERSIONS:
        resource = records.resources.get(ResourceKey(workspace, MODEL, place.owner))
        records.versions.get(resource, place.version)
        files = records.versions.files(resource, place.version)
        found = [Artifact(file.path, file.digest, file.size_bytes) for file in files]
        inside = f"{place.path}/"
        return [one for one in found if not place.path or one.path == place.path or one.path.startswith(inside)]
    _require(records, workspace, place)
    single = records.run_artifacts.get(place.owner, place.path) if place.path else None
    return [single] if single else records.run_artifacts.under(place.owner, place.path)


def artifact_at(records: Records, workspace: str, place: Place) -> Artifact:
    """The file at a place; ArtifactNotFound, also for a folder."""
    for found in artifacts_at(records, workspace, place):
        if found.path == place.path:
            return found
    raise ArtifactNotFound(place.owner, place.path)


def listed(found: Sequence[Artifact], folder: str) -> Sequence[Listed]:
    """Files and folders directly inside of a folder; a file is its own only line. Paths are complete."""
    lines: dict[str, Listed] = {}
    start = f"{folder}/" if folder else ""
    for artifact in found:
        name, deeper, _ = artifact.path[len(start) :].partition("/")
        if artifact.path == folder:
            lines[folder] = Listed(folder, artifact.size_bytes)
        elif deeper:
            lines[start + name] = Listed(start + name, None)
        else:
            lines[artifact.path] = Listed(artifact.path, artifact.size_bytes)
    return [lines[path] for path in sorted(lines)]


def keep_artifact(deps: Deps, workspace: str, place: Place, digest: str, size_bytes: int) -> None:
    """Record a file whose bytes are stored; it takes the place of an older one."""
    with deps.storage.transaction() as unit:
        require_open(unit, workspace, place)
        unit.run_artifacts.put(place.owner, Artifact(check_path(place.path), digest, size_bytes), deps.clock())


def require_open(unit: Unit, workspace: str, place: Place) -> None:
    """Lock the run or logged model; errors unless it takes files."""
    if place.kind == VERSIONS:
        raise VersionIsFrozen
    if place.kind == RUNS:
        open_run(unit, workspace, place.owner)
    else:
        logged_model_in(unit, workspace, place.owner, lock=True)


def remove_artifacts(deps: Deps, workspace: str, place: Place) -> None:
    """Remove a file or a folder. The blobs stay until a collection finds them unused."""
    with deps.storage.transaction() as unit:
        require_open(unit, workspace, place)
        if not unit.run_artifacts.remove(place.owner, place.path) and place.path:
            raise ArtifactNotFound(place.owner, place.path)


def _require(records: Records, workspace: str, place: Place) -> None:
    if place.kind == RUNS:
        run_in(records, workspace, place.owner)
    else:
        logged_model_in(records, workspace, place.owner)
