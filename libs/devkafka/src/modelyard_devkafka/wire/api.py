"""An API: its key, the offered versions, its request and response, and the derived error response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard_devkafka.wire.schema import Codec, Field, Message, codec, parse

NEVER = 999


@dataclass(frozen=True)
class Api:
    """One API of the protocol, offered in every version from `first` to `last`."""

    key: int
    name: str
    first: int
    last: int
    request: tuple[Field, ...]
    response: tuple[Field, ...]
    flexible_from: int = NEVER

    def flexible(self, version: int) -> bool:
        return version >= self.flexible_from

    def reads(self, version: int) -> Codec:
        return codec(self.request, version, self.flexible(version))

    def writes(self, version: int) -> Codec:
        return codec(self.response, version, self.flexible(version))

    def refusal(self, request: Message, code: int) -> Message:
        """Return the response with `code` in every error field, for each requested item."""
        return _refuse(self.response, request, code)


def api(key: int, name: str, versions: str, request: str, response: str, flexible_from: int = NEVER) -> Api:
    """Build an API from its definitions; `versions` is `first-last`."""
    first, _, last = versions.partition("-")
    return Api(key, name, int(first), int(last or first), parse(request), parse(response), flexible_from)


def _refuse(fields: tuple[Field, ...], request: Message, code: int) -> Message:
    """Copy arrays and names shared with the request; `error_code` is the code, the rest is empty."""
    reply: Message = {}
    for f in fields:
        if f.name == "error_code":
            reply[f.name] = code
        elif f.members is not None:
            reply[f.name] = [_refuse(f.members, _item(f, asked), code) for asked in request.get(f.name) or ()]
        elif not f.array and f.name in request and f.default is None:
            reply[f.name] = request[f.name]
        elif f.kind in ("int64", "int32") and f.name.endswith(("offset", "watermark", "epoch", "id")):
            reply[f.name] = -1
        elif f.kind == "string" and not f.name.endswith(("message", "instance_id", "metadata")):
            reply[f.name] = ""
    return reply


def _item(f: Field, asked: Any) -> Message:
    """Where a request lists names and the response has records, the first field is the name."""
    if isinstance(asked, dict):
        return asked
    return {member.name: asked for member in f.members or () if member.name in ("name", "index", "group_id")}
