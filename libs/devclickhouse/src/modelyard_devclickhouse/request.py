"""One parsed HTTP request: user, parameters, settings and files."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qsl

from python_multipart import create_form_parser

from modelyard_devclickhouse import blocks
from modelyard_devclickhouse.bodies import Receive, chunks, decoded
from modelyard_devclickhouse.config import Passwords
from modelyard_devclickhouse.errors import BadRequest, ClickHouseError, WrongPassword
from modelyard_devclickhouse.native import TYPES_IN_BINARY
from modelyard_devclickhouse.sql import words

_NOT_SETTINGS: Final = words(
    """
    query database default_format query_id session_id session_timeout session_check quota_key role buffer_size
    compress decompress client_protocol_version wait_end_of_query user password close_session stacktrace
    log_comment network_compression_method network_zstd_compression_level
    """
)
MAX_QUERY_ID_CHARACTERS: Final = 256
_EXTERNAL: Final = ("_format", "_types", "_structure")
_REVISION_DIGITS: Final = 9


@dataclass
class Request:
    """A request. `body` is decoded but not yet read, except for multipart forms."""

    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    role: str
    user: str
    query_id: str
    body: AsyncIterator[bytes]
    files: dict[str, BinaryIO] = field(default_factory=dict)
    form: dict[str, str] = field(default_factory=dict)
    reencoded: bool = False
    """The result's Native blocks are rewritten for the client's `revision`."""

    @property
    def revision(self) -> int:
        """The client's protocol revision; 0 if it states none. Raises BadRequest for no number."""
        text = self.parameters.get("client_protocol_version", "") or "0"
        if not (text.isascii() and text.isdigit() and len(text) <= _REVISION_DIGITS):
            raise BadRequest(f"client_protocol_version must be a number, not {text!r}")
        return int(text)

    @property
    def block_method(self) -> int | None:
        """How the response's blocks are compressed (`compress=1`); None without blocks."""
        return (
            blocks.method(self.parameters.get("network_compression_method", "LZ4")) if self.flag("compress") else None
        )

    @property
    def reader(self) -> bool:
        return self.role == "reader"

    @property
    def query_parameters(self) -> dict[str, str]:
        """Values of {name:Type} placeholders, TSV-escaped as received."""
        both = {**self.parameters, **self.form}
        return {key[6:]: value for key, value in both.items() if key.startswith("param_")}

    @property
    def settings(self) -> dict[str, str]:
        """Settings in the URL, for this request only, including the client's query id."""
        found = {key: value for key, value in self.parameters.items() if self._is_setting(key)}
        if self.reencoded:
            found[TYPES_IN_BINARY] = "1"
        comment = self.parameters.get("log_comment", "")
        return {**found, "log_comment": f"{self.query_id} {comment}".strip()}

    def _is_setting(self, key: str) -> bool:
        external = any(key.endswith(end) and key[: -len(end)] in self.files for end in _EXTERNAL)
        return not (key in _NOT_SETTINGS or key.startswith("param_") or external)

    def flag(self, key: str) -> bool:
        return self.parameters.get(key, "0").lower() in ("1", "true")


async def read_request(scope: Mapping[str, Any], receive: Receive, passwords: Passwords) -> Request:
    """Raises WrongPassword before a byte of the body is read."""
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    try:
        pairs = parse_qsl(scope["query_string"].decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest("the URL's parameters are not UTF-8") from error
    parameters = dict(pairs)
    user, role = authenticate(headers, parameters, passwords)
    query_id = _query_id(parameters.get("query_id") or headers.get("x-clickhouse-query-id") or str(uuid.uuid4()))
    for key, name in (("database", "x-clickhouse-database"), ("default_format", "x-clickhouse-format")):
        if name in headers:
            parameters.setdefault(key, headers[name])
    body = decoded(chunks(receive), headers.get("content-encoding", "").lower())
    request = Request(scope["method"], scope["path"], parameters, headers, role, user, query_id, body)
    if request.flag("decompress"):
        request.body = blocks.unblocked(request.body)
    if headers.get("content-type", "").startswith("multipart/form-data"):
        await _read_form(request)
    return request


def _query_id(given: str) -> str:
    """Raises BadRequest for an id that does not fit into a header and the first word of a comment."""
    if len(given) > MAX_QUERY_ID_CHARACTERS or not given.isprintable():
        raise BadRequest(f"query_id must have at most {MAX_QUERY_ID_CHARACTERS} printable characters")
    return given.replace(" ", "_")


def authenticate(headers: Mapping[str, str], parameters: Mapping[str, str], passwords: Passwords) -> tuple[str, str]:
    """Return (user, role) from Basic, X-ClickHouse-User/-Key or user/password parameters.

    `default` is the writer or, with the reader's password, the reader: the engine runs every statement as `default`,
    and some clients (JDBC) log in again as what currentUser() returns.
    """
    user, password = _credentials(headers, parameters)
    accepted = {"writer": ("writer",), "reader": ("reader",), "default": ("writer", "reader")}.get(user, ())
    for role in accepted:
        if passwords.matches(role, password):
            return ("reader" if role == "reader" else user), role
    raise WrongPassword(user)


def _credentials(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise WrongPassword("(unreadable Authorization header)") from error
        return user, password
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    return parameters.get("user", "default"), parameters.get("password", "")


async def _read_form(request: Request) -> None:
    """multipart/form-data: text fields are parameters or the query, files are external tables (spooled to disk)."""

    def on_field(part: Any) -> None:
        request.form[part.field_name.decode()] = (part.value or b"").decode()

    def on_file(part: Any) -> None:
        part.file_object.seek(0)
        request.files[part.field_name.decode()] = part.file_object

    raw = {"Content-Type": request.headers["content-type"].encode()}
    try:
        parser = create_form_parser(raw, on_field, on_file, config={"MAX_BODY_SIZE": float("inf")})
        async for chunk in request.body:
            parser.write(chunk)
        parser.finalize()
    except ClickHouseError:
        raise
    except Exception as error:
        raise BadRequest(f"the multipart form cannot be read: {error}") from error
    request.body = _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in (b"",):
        yield chunk


def external_columns(request: Request, table: str) -> tuple[str, str]:
    """(format, column list) of an external table."""
    get = {**request.parameters, **request.form}.get
    structure = get(f"{table}_structure")
    if not structure:
        types = get(f"{table}_types")
        if not types:
            raise BadRequest(f"the external table {table} needs {table}_structure or {table}_types")
        structure = ", ".join(f"_{i} {kind}" for i, kind in enumerate(types.split(","), start=1))
    return get(f"{table}_format") or "TabSeparated", structure
