"""An MLflow server's registry on loopback, with the answers of release 3.17."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from modelyard_devstack.testing.emulators import JsonHandler, served

API: Final = "/api/2.0/mlflow/"
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
CREATED_MS: Final = 1_767_323_045_000

MLMODEL: Final = """flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.skops
  sklearn:
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  type: dataframe
"""
EXAMPLE: Final = {"columns": ["age", "income"], "data": [[float(age), age * 3.0] for age in range(40)]}


@cache
def logged_model() -> dict[str, bytes]:
    """A folder as `mlflow.sklearn.log_model(..., serialization_format="skops")` writes it."""
    import numpy as np
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rows = np.array(EXAMPLE["data"])
    model = LogisticRegression().fit(rows, np.where(rows[:, 0] > 20, "old", "young"))
    example = json.dumps(EXAMPLE).encode()
    return {"MLmodel": MLMODEL.encode(), "model.skops": skops.io.dumps(model), "input_example.json": example}


@dataclass
class FakeVersion:
    """files: of its artifact folder. uri: where the server says they are; None is its own artifact proxy."""

    files: dict[str, bytes] = field(default_factory=dict)
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    uri: str | None = None
    status: str = "READY"


@dataclass
class FakeModel:
    """versions: from number 1."""

    versions: list[FakeVersion] = field(default_factory=list)
    description: str = ""
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeMlflow:
    """The server's content and log. authorization: header that is asked for."""

    models: dict[str, FakeModel] = field(default_factory=dict)
    url: str = ""
    authorization: str | None = None
    cuts: int = 0
    """Downloads whose connection ends in mid-file; counted down as they happen."""
    page: int = 100
    """Items per page of a list."""
    calls: list[str] = field(default_factory=list)

    @property
    def downloads(self) -> list[str]:
        """Paths of the files that were downloaded."""
        return [call for call in self.calls if call.startswith(f"{ARTIFACTS}/")]


@contextmanager
def fake_mlflow(**models: FakeModel) -> Iterator[FakeMlflow]:
    """Serve models until the end of the block."""
    server = FakeMlflow(dict(models))
    with served(_Handler, mlflow=server) as server.url:
        yield server


class _Handler(JsonHandler):
    mlflow: FakeMlflow

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.mlflow.calls.append(unquote(url.path))
        if self.mlflow.authorization not in (None, self.headers.get("authorization")):
            self.answer(401, {"error_code": "UNAUTHENTICATED", "message": "no"})
        elif url.path == ARTIFACTS:
            self._list(query["path"].strip("/"))
        elif url.path.startswith(ARTIFACTS):
            self._file(unquote(url.path).removeprefix(f"{ARTIFACTS}/"))
        else:
            getattr(self, f"_{re.sub(r'[^a-z]', '_', url.path.removeprefix(API))}")(query)

    def _registered_models_search(self, query: dict[str, str]) -> None:
        named = re.fullmatch(r"name=['\"](.*)['\"]", query.get("filter", ""))
        names = [name for name in self.mlflow.models if named is None or name == named[1]]
        self._page("registered_models", [_model(name, self.mlflow.models[name]) for name in names], query)

    def _model_versions_search(self, query: dict[str, str]) -> None:
        name = query["filter"][len("name=") + 1 : -1]
        versions = enumerate(self.mlflow.models[name].versions, start=1)
        found = [_version(name, number, version) for number, version in versions]
        self._page("model_versions", found[::-1], query)  # MLflow's order is no order

    def _model_versions_get_download_uri(self, query: dict[str, str]) -> None:
        name, number = query["name"], int(query["version"])
        uri = self.mlflow.models[name].versions[number - 1].uri
        self.answer(200, {"artifact_uri": uri or f"mlflow-artifacts:/1/models/{name}-{number}/artifacts"})

    def _page(self, field_name: str, items: list[dict[str, Any]], query: dict[str, str]) -> None:
        start = int(query.get("page_token", 0))
        more = start + self.mlflow.page < len(items)
        token = {"next_page_token": str(start + self.mlflow.page)} if more else {}
        self.answer(200, {field_name: items[start : start + self.mlflow.page], **token})

    def _files(self, path: str) -> tuple[dict[str, bytes], str]:
        """Files of the version whose artifact folder holds a path, and the path below that folder."""
        found = re.fullmatch(r"1/models/(.+)-(\d+)/artifacts/?(.*)", path)
        if found is None:
            return {}, ""
        return self.mlflow.models[found[1]].versions[int(found[2]) - 1].files, found[3]

    def _list(self, path: str) -> None:
        files, below = self._files(path)
        prefix = f"{below}/" if below else ""
        inside = {name.removeprefix(prefix): data for name, data in files.items() if name.startswith(prefix)}
        plain = [{"path": it, "is_dir": False, "file_size": len(inside[it])} for it in inside if "/" not in it]
        folders = sorted({name.partition("/")[0] for name in inside if "/" in name})
        self.answer(200, {"files": [*plain, *({"path": name, "is_dir": True} for name in folders)]})

    def _file(self, path: str) -> None:
        files, name = self._files(path)
        data = files[name]
        if self.mlflow.cuts > 0:
            self.mlflow.cuts -= 1
            self.answer(200, data[: len(data) // 2], {"content-length": str(len(data))})
            self.close_connection = True
        else:
            self.answer(200, data)


def _model(name: str, model: FakeModel) -> dict[str, Any]:
    aliases = [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()]
    return {"name": name, "description": model.description, "aliases": aliases, "tags": _tags(model.tags)}


def _version(name: str, number: int, version: FakeVersion) -> dict[str, Any]:
    facts = {"name": name, "version": str(number), "creation_timestamp": CREATED_MS, "current_stage": "None"}
    facts |= {"description": version.description, "source": f"models:/m-{number}", "status": version.status}
    return facts | ({"tags": _tags(version.tags)} if version.tags else {})


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in tags.items()]
