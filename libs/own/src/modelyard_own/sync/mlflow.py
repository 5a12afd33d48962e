"""The registry of an MLflow server over its REST API."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from modelyard.errors import ApiError
from modelyard_contracts.manifest import FILE_PATH, SourceKind
from modelyard_own.errors import UnfitModel
from modelyard_own.files import MAX_FILES
from modelyard_own.remote import Access, Connection, RemoteFile, Report, Transfer, count, records, text
from modelyard_own.sync.folders import copied
from modelyard_own.sync.foreign import Fits, ForeignModel, ForeignVersion

API: Final = "/api/2.0/mlflow"
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
PAGE: Final = "200"
SYSTEM_TAGS: Final = "mlflow."
READY: Final = "READY"


def mlflow_access(endpoint: str, environ: Mapping[str, str]) -> Access:
    """The server with the credentials that MLflow's own client reads: MLFLOW_TRACKING_TOKEN, or a name and password."""
    user = environ.get("MLFLOW_TRACKING_USERNAME", "")
    variable = "MLFLOW_TRACKING_PASSWORD" if user else "MLFLOW_TRACKING_TOKEN"
    return Access(endpoint, environ.get(variable, "").strip(), variable, user=user, option="--from")


class MlflowRegistry:
    """Registered models of an MLflow server.

    files_root: folder of this machine under which the server's `file:` artifacts may be read; None reads none. A server
    could otherwise name any file of this machine.
    """

    kind: SourceKind = "mlflow"

    def __init__(self, connection: Connection, files_root: Path | None = None) -> None:
        self._connection, self._files_root = connection, files_root
        self.uri = connection.endpoint

    def page_of(self, model: str) -> str:
        """Address of a model in MLflow's pages."""
        return f"{self.uri}/#/models/{quote(model)}"

    def models(self, name: str | None) -> Iterator[ForeignModel]:
        """All registered models but prompts, or one of them."""
        asked = {} if name is None else {"filter": f"name={_quoted(name)}"}
        for found in self._pages("registered-models", "registered_models", asked):
            tags = _tags(found.get("tags"))
            if "mlflow.prompt.is_prompt" not in tags:
                yield self._model(text(found, "name"), found)

    def _model(self, name: str, found: Mapping[str, Any]) -> ForeignModel:
        listed = self._pages("model-versions", "model_versions", {"filter": f"name={_quoted(name)}"})
        versions = [_version(name, one) for one in listed if one.get("status", READY) == READY]
        aliases = {text(one, "alias"): str(one.get("version", "")) for one in records(found.get("aliases"))}
        ordered = sorted(versions, key=lambda version: (len(version.key), version.key))
        return ForeignModel(name, tuple(ordered), text(found, "description"), aliases)

    def _pages(self, path: str, field: str, asked: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            parameters = {**asked, "max_results": PAGE, **({"page_token": token} if token else {})}
            found = self._json(f"{API}/{path}/search", parameters)
            yield from records(found.get(field))
            following = text(found, "next_page_token")
            if not following or following == token:
                return
            token = following

    def _json(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        found, _ = self._connection.json(f"{self.uri}{path}", "MLflow", parameters)
        if not isinstance(found, Mapping):
            raise ApiError(0, "unreadable", f"{self.uri}{path}: is no answer of MLflow", "check --from")
        return found

    def fetch(self, version: ForeignVersion, folder: Path, report: Report, fits: Fits) -> Path:
        """Download the folder of the model from the artifact proxy of the server, or copy it below `files_root`."""
        asked = {"name": version.model, "version": version.key}
        uri = text(self._json(f"{API}/model-versions/get-download-uri", asked), "artifact_uri") or version.artifacts
        parts = urlsplit(uri)
        if parts.scheme == "mlflow-artifacts":
            return self._proxied(version, unquote(parts.path).strip("/"), folder, report, fits)
        if parts.scheme in ("", "file"):
            return copied(Path(unquote(parts.path)), folder, self._files_root, fits)
        raise UnfitModel(
            f"version {version.key}: its files are in {parts.scheme}:, which only the MLflow server can read; start it "
            "with --serve-artifacts, or download the folder and use modelyard register"
        )

    def _proxied(self, version: ForeignVersion, root: str, folder: Path, report: Report, fits: Fits) -> Path:
        files = self._listed(root, version)
        fits(sum(file.size_bytes for file in files))
        for number, file in enumerate(files, start=1):
            url = f"{self.uri}{ARTIFACTS}/{quote(root)}/{quote(file.path)}"
            label = f"downloading {version.model} {version.key}: {file.path} ({number})"
            Transfer(self._connection, version.model, url, file, folder / file.path, label, report).run()
        return folder

    def _listed(self, root: str, version: ForeignVersion) -> Sequence[RemoteFile]:
        """All files below an artifact folder. The server lists one folder at a time, by base names."""
        found: list[RemoteFile] = []
        folders = [""]
        while folders:
            below = folders.pop()
            path = "/".join(part for part in (root, below) if part)
            for entry in records(self._json(ARTIFACTS, {"path": path}).get("files")):
                name = "/".join(part for part in (below, text(entry, "path").rpartition("/")[2]) if part)
                if not re.fullmatch(FILE_PATH, name) or ".." in name.split("/"):
                    raise UnfitModel(f"version {version.key}: {name[:80]!a} is a file name that no version can hold")
                if entry.get("is_dir"):
                    folders.append(name)
                else:
                    found.append(RemoteFile(name, count(entry, "file_size")))
            if len(found) + len(folders) > MAX_FILES:
                raise UnfitModel(f"version {version.key}: has more than {MAX_FILES:,} files")
        if not found:
            raise UnfitModel(f"version {version.key}: the server has no files of it")
        return found


def _version(model: str, found: Mapping[str, Any]) -> ForeignVersion:
    made_ms = count(found, "creation_timestamp")
    return ForeignVersion(
        model=model,
        key=str(found.get("version", "")),
        artifacts=text(found, "source"),
        description=text(found, "description"),
        tags=_tags(found.get("tags")),
        made_at=datetime.fromtimestamp(made_ms // 1_000, UTC) if made_ms else None,
    )


def _tags(found: Any) -> dict[str, str]:
    """Tags of people; MLflow's own are left out, but for the mark of a prompt."""
    tags = {text(one, "key"): text(one, "value") for one in records(found)}
    marks = ("mlflow.prompt.is_prompt",)
    return {name: value for name, value in tags.items() if name in marks or not name.startswith(SYSTEM_TAGS)}


def _quoted(name: str) -> str:
    """A name in MLflow's filter, which knows no escapes but has two quotes."""
    if '"' not in name:
        return f'"{name}"'
    if "'" in name:
        raise UnfitModel(
            f"{name!a}: has both quotes in its name, which MLflow's search cannot express; rename it there"
        )
    return f"'{name}'"
