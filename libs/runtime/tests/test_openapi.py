"""The OpenAPI document describes errors and access, and responses keep to it."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from modelyard_devstack.testing.access import role_keys
from modelyard_devstack.testing.openapi import check_api
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import NotFound
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import allow, create_app

Reader = Annotated[Principal, Depends(allow("read", "model"))]


class Thing(BaseModel):
    name: str = Field(max_length=20)
    size: int = Field(ge=0, le=100)


@pytest.fixture
def app() -> FastAPI:
    app = create_app(service="toy", authenticator=role_keys(), readiness=Readiness())

    @app.get("/v1/things/{number}")
    def thing(number: int, _: Reader) -> Thing:
        if number % 2:
            raise NotFound(f"no thing {number}", remedy="list the things")
        return Thing(name="even", size=abs(number) % 100)

    @app.post("/v1/things", status_code=201)
    def add(thing: Thing, _: Annotated[Principal, Depends(allow("create", "model"))]) -> Thing:
        return thing

    return app


def test_every_response_outside_2xx_is_described_as_a_problem(app: FastAPI) -> None:
    document = app.openapi()
    operation = document["paths"]["/v1/things/{number}"]["get"]
    assert set(operation["responses"]) == {"200", "4XX", "5XX"}
    assert operation["responses"]["4XX"] == {"$ref": "#/components/responses/Problem"}
    assert set(document["components"]["schemas"]["Problem"]["properties"]) >= {"code", "field", "remedy"}
    assert "HTTPValidationError" not in str(document["paths"])


def test_every_operation_says_what_it_needs(app: FastAPI) -> None:
    document = app.openapi()
    assert document["paths"]["/v1/things"]["post"]["x-modelyard-access"] == {
        "action": "create",
        "kind": "model",
        "over": "resource",
    }
    assert document["security"] == [{"key": []}]


def test_a_service_that_keeps_to_its_document_passes(app: FastAPI) -> None:
    assert check_api(app) == 2


def test_a_server_error_and_an_undocumented_body_are_found(app: FastAPI) -> None:
    @app.get("/v1/broken", response_model=Thing)
    def broken(_: Reader) -> Any:
        raise ZeroDivisionError

    @app.get("/v1/undocumented")
    def undocumented(_: Reader) -> Thing:
        return Thing.model_construct(name="x" * 40, size=7)

    with pytest.raises(AssertionError) as found:
        check_api(app)
    assert "GET /v1/broken" in str(found.value)
    assert "GET /v1/undocumented" in str(found.value)
    assert "/v1/things" not in str(found.value)
