"""Equal request fields share their validator, and different ones do not."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel, TypeAdapter


class Order(BaseModel):
    amount: int


def app(least: int) -> FastAPI:
    opened = FastAPI()

    @opened.post("/orders")
    def create(order: Order, count: Annotated[int, Query(ge=least)]) -> Order:
        return order

    return opened


def test_a_second_app_builds_no_validator(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    original = TypeAdapter.__init__

    def counted(self: TypeAdapter[object], *args: Any, **options: Any) -> None:
        built.append(args)
        original(self, *args, **options)

    app(1)
    monkeypatch.setattr(TypeAdapter, "__init__", counted)
    app(1)
    assert built == []
    app(-77)
    assert len(built) == 1


def test_fields_with_other_limits_keep_them() -> None:
    body = {"amount": 1}
    strict, lenient = TestClient(app(5)), TestClient(app(1))
    assert strict.post("/orders?count=3", json=body).status_code == 422
    assert lenient.post("/orders?count=3", json=body).json() == body
    assert lenient.post("/orders?count=0", json=body).status_code == 422
