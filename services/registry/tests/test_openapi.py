"""The API and its OpenAPI document agree."""

from pathlib import Path

import pytest

from modelyard_devstack.testing.access import role_keys
from modelyard_devstack.testing.openapi import check_api
from modelyard_registry.testing import InProcessRegistry

from .conftest import World


@pytest.mark.slow
@pytest.mark.timeout(400)  # twenty requests for each of sixty operations
def test_made_up_requests_get_only_answers_that_the_document_describes(tmp_path: Path) -> None:
    with InProcessRegistry(tmp_path, authenticator=role_keys()) as registry:
        assert check_api(registry.registry.service.app) > 50


def test_every_endpoint_describes_its_answer_and_its_errors(on_sqlite: World) -> None:
    document = on_sqlite.registry.service.app.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            success = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            empty = {"delete", "head"} if path != "/v1/blobs/{digest}" else {"delete", "head", "put"}
            described = [answer for answer in success if answer.get("content")]
            assert described or method in empty, f"{method} {path}: no schema"
            assert {"4XX", "5XX"} <= operation["responses"].keys(), f"{method} {path}: errors are not described"
