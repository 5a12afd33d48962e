"""Paths of the registry, and lists over many pages."""

from collections.abc import Iterator
from typing import Any, Final

from modelyard.transport import ApiClient, part

PAGE_ITEMS: Final = 500


class PagedClient(ApiClient):
    """A client that reads lists page by page."""

    def pages(self, path: str, **parameters: Any) -> Iterator[Any]:
        """The items of a list, over all its pages."""
        while True:
            page = self.get(path, limit=PAGE_ITEMS, **parameters)
            yield from page["items"]
            if page["next_after"] is None:
                return
            parameters["after"] = page["next_after"]


def model_path(name: str) -> str:
    """Path of a model."""
    return f"/v1/models/{part(name)}"


def version_path(model: str, version: int) -> str:
    """Path of a version."""
    return f"{model_path(model)}/versions/{version}"
