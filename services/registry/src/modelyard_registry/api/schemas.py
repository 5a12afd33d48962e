"""The Confluent Schema Registry REST subset, at the root. Unknown query flags are ignored."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from modelyard_contracts.sentences import one_line, plain
from modelyard_registry.domain.avro import InvalidSchema
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.schema_errors import MalformedSchema, SchemaApiError, SchemaNotFound, SubjectNotFound
from modelyard_registry.domain.values import SubjectVersion
from modelyard_registry.usecases import schemas as use
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow

MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
MAX_ID: Final = 2**31 - 1
Reader = Annotated[Principal, Depends(allow("read", "schema", over="any-workspace"))]
Writer = Annotated[Principal, Depends(allow("register", "schema", over="any-workspace"))]
Admin = Annotated[Principal, Depends(allow("update", "schema", over="all-workspaces"))]
Flag = Annotated[bool, Query()]
Json = dict[str, Any]


class SchemaAnswer(JSONResponse):
    media_type = MEDIA_TYPE


async def body_of(request: Request) -> Json:
    """Read the body as JSON whatever its content type: clients of different languages send different ones."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise MalformedSchema("the body is not JSON") from error
    if not isinstance(body, dict):
        raise MalformedSchema("the body is not a JSON object")
    return body


Body = Annotated[Json, Depends(body_of)]


def text_in(body: Json) -> str:
    """Return the Avro schema in a body; MalformedSchema."""
    if body.get("schemaType") not in (None, "", "AVRO"):
        raise MalformedSchema(f"schemaType {plain(str(body['schemaType']))}: only AVRO is supported")
    if body.get("references"):
        raise MalformedSchema("references are not supported; write the whole schema")
    text = body.get("schema")
    if not isinstance(text, str) or not text.strip():
        raise MalformedSchema("schema: missing or empty; send it as a string of JSON")
    return text


def install(app: FastAPI, deps: Deps) -> None:
    """Add the routes, and Confluent's form of errors."""

    @app.exception_handler(SchemaApiError)
    async def _refused(_: Request, error: SchemaApiError) -> JSONResponse:
        return SchemaAnswer({"error_code": error.error_code, "message": one_line(str(error))}, error.error_code // 100)

    @app.exception_handler(InvalidSchema)
    async def _invalid(_: Request, error: InvalidSchema) -> JSONResponse:
        return SchemaAnswer({"error_code": MalformedSchema.error_code, "message": one_line(str(error))}, 422)

    router = APIRouter(default_response_class=SchemaAnswer, include_in_schema=False)
    for add in (_subject_versions, _subjects, _schemas, _compatibility, _levels):
        add(router, deps)
    app.include_router(router)


def _subject_versions(router: APIRouter, deps: Deps) -> None:
    @router.post("/subjects/{subject:path}/versions")
    def register(subject: str, _: Writer, body: Body) -> Json:
        return {"id": use.register(deps, subject, text_in(body))}

    @router.get("/subjects/{subject:path}/versions")
    def list_versions(subject: str, _: Reader, deleted: Flag = False) -> list[int]:
        with deps.storage.read() as records:
            found = records.subjects.versions(subject, deleted=deleted)
        if not found:
            raise SubjectNotFound(subject)
        return [version.version for version in found]

    @router.get("/subjects/{subject:path}/versions/{version}/schema")
    def show_text(subject: str, version: str, _: Reader, deleted: Flag = False) -> Response:
        with deps.storage.read() as records:
            found = use.find(records, subject, version, deleted=deleted)
            return Response(use.text_of(records, found.schema_id), media_type=MEDIA_TYPE)

    @router.get("/subjects/{subject:path}/versions/{version}")
    def show_version(subject: str, version: str, _: Reader, deleted: Flag = False) -> Json:
        with deps.storage.read() as records:
            return _version_json(records, use.find(records, subject, version, deleted=deleted))

    @router.delete("/subjects/{subject:path}/versions/{version}")
    def delete_version(subject: str, version: str, _: Admin, permanent: Flag = False) -> int:
        return use.delete_version(deps, subject, version, permanent=permanent)


def _subjects(router: APIRouter, deps: Deps) -> None:
    @router.get("/subjects")
    def list_subjects(
        _: Reader, deleted: Flag = False, subject_prefix: Annotated[str, Query(alias="subjectPrefix")] = ""
    ) -> list[str]:
        with deps.storage.read() as records:
            return [name for name in records.subjects.names(deleted=deleted) if name.startswith(subject_prefix)]

    @router.post("/subjects/{subject:path}")
    def lookup(subject: str, _: Reader, body: Body, deleted: Flag = False) -> Json:
        with deps.storage.read() as records:
            return _version_json(records, use.lookup(records, subject, text_in(body), deleted=deleted))

    @router.delete("/subjects/{subject:path}")
    def delete_subject(subject: str, _: Admin, permanent: Flag = False) -> list[int]:
        return use.delete_subject(deps, subject, permanent=permanent)


def _schemas(router: APIRouter, deps: Deps) -> None:
    @router.get("/schemas/types")
    def types(_: Reader) -> list[str]:
        return ["AVRO"]

    @router.get("/schemas/fingerprints/{hexadecimal}")
    def by_fingerprint(hexadecimal: str, _: Reader) -> Json:
        """An addition to Confluent's API: the writer's schema of single-object encoding."""
        with deps.storage.read() as records:
            found = records.schemas.by_fingerprint(hexadecimal.lower())
        if found is None:
            raise SchemaNotFound(hexadecimal)
        return {"id": found[0], "schema": found[1]}

    @router.get("/schemas/ids/{schema_id}")
    def by_id(schema_id: str, _: Reader) -> Json:
        with deps.storage.read() as records:
            return {"schema": use.text_of(records, _id(schema_id))}

    @router.get("/schemas/ids/{schema_id}/schema")
    def text_by_id(schema_id: str, _: Reader) -> Response:
        with deps.storage.read() as records:
            return Response(use.text_of(records, _id(schema_id)), media_type=MEDIA_TYPE)

    @router.get("/schemas/ids/{schema_id}/subjects")
    def subjects_by_id(schema_id: str, _: Reader, deleted: Flag = False) -> list[str]:
        return sorted({use_.subject for use_ in _uses(deps, schema_id, deleted)})

    @router.get("/schemas/ids/{schema_id}/versions")
    def versions_by_id(schema_id: str, _: Reader, deleted: Flag = False) -> list[Json]:
        return [{"subject": use_.subject, "version": use_.version} for use_ in _uses(deps, schema_id, deleted)]


def _compatibility(router: APIRouter, deps: Deps) -> None:
    def answer(subject: str, version: str | None, body: Json, verbose: bool) -> Json:
        with deps.storage.read() as records:
            reasons = use.check(records, subject, version, text_in(body))
        return {"is_compatible": not reasons, **({"messages": reasons} if verbose else {})}

    @router.post("/compatibility/subjects/{subject:path}/versions/{version}")
    def check_version(subject: str, version: str, _: Reader, body: Body, verbose: Flag = False) -> Json:
        return answer(subject, version, body, verbose)

    @router.post("/compatibility/subjects/{subject:path}/versions")
    def check_all(subject: str, _: Reader, body: Body, verbose: Flag = False) -> Json:
        return answer(subject, None, body, verbose)


def _levels(router: APIRouter, deps: Deps) -> None:
    def setter(fixed: str | None) -> Callable[..., Json]:
        def for_all(_: Admin, body: Body) -> Json:
            use.set_level(deps, use.GLOBAL, _level(body))
            return {"compatibility": _level(body)}

        def one(subject: str, _: Admin, body: Body) -> Json:
            use.set_level(deps, subject, _level(body))
            return {"compatibility": _level(body)}

        return one if fixed is None else for_all

    router.put("/config")(setter(use.GLOBAL))
    router.put("/config/{subject:path}")(setter(None))

    @router.get("/config")
    def show_global(_: Reader) -> Json:
        with deps.storage.read() as records:
            return {"compatibilityLevel": use.level_of(records, use.GLOBAL)}

    @router.get("/config/{subject:path}")
    def show_level(
        subject: str, _: Reader, default_to_global: Annotated[bool, Query(alias="defaultToGlobal")] = False
    ) -> Json:
        with deps.storage.read() as records:
            level = use.level_of if default_to_global else use.own_level
            return {"compatibilityLevel": level(records, subject)}

    @router.delete("/config/{subject:path}")
    def drop_level(subject: str, _: Admin) -> Json:
        with deps.storage.read() as records:
            before = use.own_level(records, subject)
        use.set_level(deps, subject, None)
        return {"compatibilityLevel": before}


def _version_json(records: Records, version: SubjectVersion) -> Json:
    text = use.text_of(records, version.schema_id)
    return {"subject": version.subject, "version": version.version, "id": version.schema_id, "schema": text}


def _uses(deps: Deps, schema_id: str, deleted: bool) -> list[SubjectVersion]:
    with deps.storage.read() as records:
        use.text_of(records, _id(schema_id))
        return list(records.subjects.uses(_id(schema_id), deleted=deleted))


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10) or int(text) > MAX_ID:
        raise SchemaNotFound(text[:80])
    return int(text)


def _level(body: Json) -> str:
    return str(body.get("compatibility") or body.get("compatibilityLevel"))
