"""Models of an Azure Machine Learning workspace or registry, over the REST API of Azure Resource Manager.

Files of a version lie in storage with rights of its own; they are read from a folder into which
`az ml model download` put them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from modelyard.errors import ApiError
from modelyard_contracts.manifest import SourceKind
from modelyard_own.errors import UnfitModel
from modelyard_own.remote import Access, Connection, Report, records, text
from modelyard_own.sync.folders import copied
from modelyard_own.sync.foreign import Fits, ForeignModel, ForeignVersion

API_VERSION: Final = "2024-04-01"
TOKEN: Final = "AZURE_ACCESS_TOKEN"  # noqa: S105  name of a variable
STAGE: Final = "azureml.stage"


def azureml_access(endpoint: str, environ: Mapping[str, str]) -> Access:
    """The workspace with a token as `az account get-access-token` prints it."""
    return Access(endpoint, environ.get(TOKEN, "").strip(), TOKEN, option="--from")


class AzureMlRegistry:
    """A workspace or registry. files_root: folder with `NAME/VERSION` as `az ml model download` fills it."""

    kind: SourceKind = "azureml"

    def __init__(self, connection: Connection, files_root: Path | None = None) -> None:
        self._connection, self._files_root = connection, files_root
        self.uri = connection.endpoint

    def page_of(self, model: str) -> str:
        """Address of a model."""
        return f"{self.uri}/models/{quote(model, safe='')}"

    def models(self, name: str | None) -> Iterator[ForeignModel]:
        """Models that are not archived, or one of them."""
        for found in self._pages(f"{self.uri}/models"):
            properties = _properties(found)
            if name in (None, text(found, "name")) and not properties.get("isArchived"):
                yield self._model(text(found, "name"), text(properties, "description"))

    def _model(self, name: str, description: str) -> ForeignModel:
        listed = self._pages(f"{self.page_of(name)}/versions")
        versions = [_version(name, one) for one in listed if not _properties(one).get("isArchived")]
        return ForeignModel(name, tuple(sorted(versions, key=lambda one: (len(one.key), one.key))), description)

    def _pages(self, url: str) -> Iterator[Mapping[str, Any]]:
        """Items of a list; a next page on another host is refused by the connection."""
        parameters: Mapping[str, str] | None = {"api-version": API_VERSION}
        seen: set[str] = set()
        while url and url not in seen:
            seen.add(url)
            found, _ = self._connection.json(url, "Azure ML", parameters)
            if not isinstance(found, Mapping):
                raise ApiError(0, "unreadable", f"{self.uri}: is no workspace of Azure ML", "check --from")
            yield from records(found.get("value"))
            url, parameters = text(found, "nextLink"), None

    def fetch(self, version: ForeignVersion, folder: Path, report: Report, fits: Fits) -> Path:
        """Copy the files from `files_root`; UnfitModel has the command that puts them there."""
        place = f"{version.model}/{version.key}"
        command = f"az ml model download --name {version.model} --version {version.key} --download-path"
        if self._files_root is None or not (self._files_root / place).is_dir():
            root = self._files_root or "FOLDER"
            raise UnfitModel(f"run `{command} {root}/{place}`, and give --files-root {root}")
        return _inner(copied(self._files_root / place, folder, self._files_root, fits))


def _inner(folder: Path) -> Path:
    """The model itself: the download nests it in folders of its name."""
    found = list(folder.iterdir())
    return _inner(found[0]) if len(found) == 1 and found[0].is_dir() else (found[0] if len(found) == 1 else folder)


def _version(model: str, found: Mapping[str, Any]) -> ForeignVersion:
    properties = _properties(found)
    stage = text(properties, "stage")
    tags = properties.get("tags")
    own = {str(key): str(value) for key, value in tags.items()} if isinstance(tags, Mapping) else {}
    return ForeignVersion(
        model=model,
        key=text(found, "name"),
        artifacts=text(properties, "modelUri"),
        description=text(properties, "description"),
        tags=own | ({STAGE: stage} if stage else {}),
        made_at=_moment(found),
    )


def _properties(found: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = found.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _moment(found: Mapping[str, Any]) -> datetime | None:
    data = found.get("systemData")
    try:
        return datetime.fromisoformat(text(data, "createdAt")) if isinstance(data, Mapping) else None
    except ValueError:
        return None


def is_workspace(address: str) -> bool:
    """Whether an address is that of a workspace or registry of Azure Machine Learning."""
    parts = urlsplit(address).path.strip("/").split("/")
    return len(parts) >= 2 and parts[-2] in ("workspaces", "registries")
