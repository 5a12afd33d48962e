"""The control API's frame: no open route, problem+json, size limit, trace context."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.routing import Mount

from modelyard_runtime.access import Authenticator, Principal
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.errors import Conflict, Invalid, NotFound, Retryable
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import allow, caller, create_app
from modelyard_runtime.tracing import current_correlation_id, current_traceparent

ADMIN = "an-admin-key-of-some-length"
KEYS = {
    "read": Principal("read", "user", {"*": frozenset({"viewer"})}),
    "write": Principal("write", "user", {"*": frozenset({"developer"})}),
    "predict": Principal("predict", "user", {"*": frozenset({"caller"})}),
    "none": Principal("none"),
}
Reads = Depends(allow("read", "model"))


class Thing(BaseModel):
    name: str
    size: int


class ToyConsumer:
    group = "toy"
    resumed = 0

    def resume(self) -> int:
        self.resumed += 1
        return 1

    def stopped_partitions(self) -> dict[tuple[str, int], str]:
        return {("topic", 0): "a bug"}


@pytest.fixture
def consumer() -> ToyConsumer:
    return ToyConsumer()


@pytest.fixture
def app(readiness: Readiness, consumer: ToyConsumer) -> FastAPI:
    async def introspect(token: str) -> Principal | None:
        return KEYS.get(token)

    app = create_app(
        service="toy",
        authenticator=Authenticator(ADMIN, introspect, FakeClock()),
        readiness=readiness,
        consumers=[consumer],
        max_request_bytes=1_000,
        large_paths={"/v1/blobs": 5_000},
    )
    router = APIRouter(prefix="/v1")

    @router.get("/things", dependencies=[Reads])
    async def things(request: Request) -> dict[str, Any]:
        return {
            "caller": caller(request).identity,
            "traceparent": current_traceparent(),
            "correlation": str(current_correlation_id()),
        }

    @router.post("/things", dependencies=[Depends(allow("create", "model"))])
    async def add(thing: Thing) -> Thing:
        return thing

    @router.put("/blobs/x", dependencies=[Depends(allow("register", "blob"))])
    async def blob(request: Request) -> int:
        return len(await request.body())

    @router.post("/predict")
    async def predict(_: Annotated[Principal, Depends(allow("predict", "route"))]) -> str:
        return "ok"

    @router.get("/fails/{how}", dependencies=[Reads])
    async def fails(how: str) -> None:
        raise {
            "missing": NotFound("no model m"),
            "conflict": Conflict("moved on"),
            "invalid": Invalid("size: must be > 0", field="size"),
            "away": Retryable("database away"),
            "bug": ZeroDivisionError("a bug"),
        }[how]

    app.include_router(router)
    return app


def test_an_endpoint_that_declares_no_action_is_closed_to_everyone(app: FastAPI, client: TestClient) -> None:
    @app.get("/v1/forgotten")
    def forgotten() -> str:
        return "open"

    answer = client.get("/v1/forgotten", headers=bearer(ADMIN))
    assert (answer.status_code, "declares no action" in answer.json()["detail"]) == (403, True)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def all_routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every (method, path), from the routes and, for those an include hides, from the schema."""
    found = {
        (method, route.path) for route in app.routes if isinstance(route, APIRoute) for method in route.methods or ()
    }
    assert not [route for route in app.routes if isinstance(route, Mount)]
    found |= {("GET", route.path) for route in app.routes if hasattr(route, "path") and not isinstance(route, APIRoute)}
    for path, methods in app.openapi()["paths"].items():
        found |= {(method.upper(), path) for method in methods}
    return sorted(found)


def test_no_route_is_open_but_health(app: FastAPI, client: TestClient) -> None:
    routes = [route for route in all_routes(app) if not route[1].startswith("/health/")]
    assert ("GET", "/v1/things") in routes
    assert ("GET", "/metrics") in routes
    for method, path in [
        *routes,
        ("GET", "/nowhere"),
        ("GET", "/docs"),
        ("GET", "/health/live/../x"),
        ("GET", "/health"),
    ]:
        answer = client.request(method, path)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/health/live").status_code == 200


def test_every_route_refuses_a_key_without_a_role(app: FastAPI, client: TestClient) -> None:
    for method, path in all_routes(app):
        if not path.startswith(("/health/", "/openapi.json")):
            answer = client.request(method, path, headers=bearer("none"))
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        ("read", "GET", "/v1/things", 200),
        ("read", "POST", "/v1/things", 403),
        ("write", "POST", "/v1/things", 200),
        ("write", "GET", "/v1/things", 200),
        ("predict", "POST", "/v1/predict", 200),
        ("read", "POST", "/v1/predict", 403),
        ("read", "GET", "/metrics", 200),
        ("write", "POST", "/internal/consumers/resume", 403),
        (ADMIN, "POST", "/internal/consumers/resume", 200),
        (ADMIN, "POST", "/v1/predict", 200),
        ("unknown", "GET", "/v1/things", 401),
    ],
)
def test_roles_decide(client: TestClient, key: str, method: str, path: str, status: int) -> None:
    answer = client.request(
        method, path, headers=bearer(key), json={"name": "n", "size": 1} if method == "POST" else None
    )
    assert answer.status_code == status


def test_the_password_of_basic_auth_is_a_key(client: TestClient) -> None:
    assert client.get("/v1/things", auth=("anyone", "read")).json()["caller"] == "read"


def test_ready_reports_every_check(client: TestClient, readiness: Readiness) -> None:
    assert client.get("/health/ready").status_code == 200
    readiness.set("kafka", False, "away")
    answer = client.get("/health/ready", headers=bearer("read"))
    assert (answer.status_code, answer.json()["checks"]["kafka"]["detail"]) == (503, "away")
    assert answer.json()["version"] == "", "the toy service of these tests has no release"
    assert "version" not in client.get("/health/ready").json()


@pytest.mark.parametrize("headers", [{}, bearer("no such key"), {"authorization": "Basic e"}])
def test_strangers_see_which_check_failed_and_not_why(
    client: TestClient, readiness: Readiness, headers: dict[str, str]
) -> None:
    readiness.set("kafka", False, "broker-7.internal: wrong password for modelyard-registry")
    answer = client.get("/health/ready", headers=headers)
    assert (answer.status_code, answer.json()["checks"]["kafka"]) == (503, {"ok": False, "detail": ""})


def test_consumers_are_shown_and_resumed(client: TestClient, consumer: ToyConsumer) -> None:
    shown = client.get("/internal/consumers", headers=bearer(ADMIN)).json()
    assert shown == [{"group": "toy", "stopped": {"topic[0]": "a bug"}}]
    assert client.post("/internal/consumers/resume", headers=bearer(ADMIN)).json() == {"resumed": 1}
    assert consumer.resumed == 1


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("missing", 404, "not_found"),
        ("conflict", 409, "conflict"),
        ("invalid", 422, "invalid"),
        ("away", 503, "retryable"),
        ("bug", 500, "internal_error"),
    ],
)
def test_errors_are_problems_with_a_code(client: TestClient, how: str, status: int, code: str) -> None:
    answer = client.get(f"/v1/fails/{how}", headers=bearer("read"))
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert set(body) >= {"type", "title", "status", "detail", "code"}
    assert body.get("field") == ("size" if how == "invalid" else None)
    assert "ZeroDivision" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_bad_input_names_the_field(client: TestClient) -> None:
    answer = client.post("/v1/things", headers=bearer("write"), json={"name": "x", "size": "big"})
    assert (answer.status_code, answer.json()["field"]) == (422, "size")
    missing = client.get("/nowhere", headers=bearer("read")).json()
    assert (missing["code"], missing["status"]) == ("not_found", 404)


def test_a_body_past_the_limit_is_refused_whatever_its_header_says(client: TestClient) -> None:
    declared = client.post("/v1/things", headers=bearer("write"), content=b"x" * 1_001)
    streamed = client.post("/v1/things", headers=bearer("write"), content=iter([b"x" * 600, b"x" * 600]))
    assert [declared.status_code, streamed.status_code] == [413, 413]
    assert streamed.json()["code"] == declared.json()["code"]
    assert client.put("/v1/blobs/x", headers=bearer("write"), content=b"x" * 4_000).json() == 4_000
    assert client.put("/v1/blobs/x", headers=bearer("write"), content=iter([b"x" * 4_000] * 2)).status_code == 413


def test_trace_and_correlation_go_in_and_come_out(client: TestClient) -> None:
    trace, story = "0af7651916cd43dd8448eb211c80319c", "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    headers = {**bearer("read"), "traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-correlation-id": story}
    answer = client.get("/v1/things", headers=headers)
    inside = answer.json()
    assert inside["traceparent"].split("-")[1] == trace
    assert inside["traceparent"].split("-")[2] != "b7ad6b7169203331"
    assert inside["traceparent"].endswith("-01")
    assert inside["correlation"] == story
    assert (answer.headers["traceparent"], answer.headers["x-correlation-id"]) == (inside["traceparent"], story)
    fresh = client.get("/v1/things", headers=bearer("read")).json()
    assert fresh["traceparent"] is not None


def test_a_request_is_counted_by_its_route(client: TestClient) -> None:
    client.get("/v1/fails/missing", headers=bearer("read"))
    shown = client.get("/metrics", headers=bearer("read")).text
    assert 'modelyard_toy_http_request_seconds_count{method="GET",route="/v1/fails/{how}",status="404"}' in shown
    assert "process_resident_memory_bytes" in shown
