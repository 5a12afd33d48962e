"""Models of an Azure Machine Learning workspace on loopback, as the REST API of 2024-04-01 lists them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from modelyard_devstack.testing.emulators import JsonHandler, served

WORKSPACE: Final = (
    "/subscriptions/0000/resourceGroups/group/providers/Microsoft.MachineLearningServices/workspaces/work"
)


@dataclass
class FakeAzureMl:
    """models: name to its versions, which are the properties that the API returns. token: that is asked for."""

    models: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    host: str = ""
    token: str = "azure-token"  # noqa: S105  of the emulator
    page: int = 100
    next_host: str | None = None
    """Host of the next page; None is this one."""

    @property
    def url(self) -> str:
        """Address of the workspace."""
        return f"{self.host}{WORKSPACE}"


@contextmanager
def fake_azureml(**models: list[dict[str, Any]]) -> Iterator[FakeAzureMl]:
    """Serve a workspace until the end of the block."""
    workspace = FakeAzureMl(dict(models))
    with served(_Handler, workspace=workspace) as workspace.host:
        yield workspace


class _Handler(JsonHandler):
    workspace: FakeAzureMl

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        rest = unquote(url.path).removeprefix(f"{WORKSPACE}/models").strip("/").split("/")
        if self.headers.get("authorization") != f"Bearer {self.workspace.token}":
            self.answer(401, {"error": {"code": "AuthenticationFailed"}})
        elif "api-version" not in query:
            self.answer(400, {"error": {"code": "MissingApiVersionParameter"}})
        elif rest == [""]:
            names = self.workspace.models
            self._page(
                [{"name": name, "properties": {"description": "", "isArchived": False}} for name in names], query
            )
        else:
            self._page([_version(number, it) for number, it in enumerate(self.workspace.models[rest[0]], 1)], query)

    def _page(self, items: list[dict[str, Any]], query: dict[str, list[str]]) -> None:
        start = int(query.get("$skip", ["0"])[0])
        end = start + self.workspace.page
        host = self.workspace.next_host or self.workspace.host
        following = f"{host}{urlsplit(self.path).path}?api-version=2024-04-01&$skip={end}"
        self.answer(200, {"value": items[start:end], **({"nextLink": following} if end < len(items) else {})})


def _version(number: int, properties: dict[str, Any]) -> dict[str, Any]:
    made = {"createdAt": "2026-01-02T03:04:05.1234567+00:00"}
    return {"name": str(number), "properties": {"modelType": "custom_model", **properties}, "systemData": made}
