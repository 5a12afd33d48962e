"""A model server for tests: answers by its first number, and misbehaves on demand. Also a program of its own."""

import argparse
import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httptools

DIGEST_1 = "sha256:" + "1" * 64
DIGEST_2 = "sha256:" + "2" * 64


@dataclass
class Behaviour:
    digest: str = DIGEST_1
    status: int = 200
    delay_s: float = 0.0
    chunked: bool = False
    close_after: bool = False
    """Answer, then close the connection as if it had not said keep-alive."""
    drop: str = ""
    """`before`: close without a byte; `middle`: close in the middle of the answer."""
    body: bytes | None = None
    answer: Callable[[dict[str, Any], str], bytes] | None = None
    """(request, digest) -> body; None: `infer_answer`."""
    surplus: bytes = b""
    """Sent after each answer, in one piece with it."""
    members: "dict[int, Behaviour] | None" = None
    """Versions that share this server; None: a server of one version, which answers 404 to a call for several."""
    absent: set[int] = field(default_factory=set)
    """Members that the server leaves out of its answer."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    remember: bool = True


class _Protocol(asyncio.Protocol):
    def __init__(self, behaviour: Behaviour) -> None:
        self.b = behaviour
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""
        self.fields: dict[str, str] = {}

    def connection_made(self, transport: Any) -> None:
        self.b.connections += 1
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.body, self.fields, self.path = b"", {}, ""

    def on_url(self, url: bytes) -> None:
        self.path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.decode().lower()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        request = json.loads(self.body)
        if self.b.remember:
            self.b.requests.append(request)
            self.b.headers.append(self.fields)
            self.b.paths.append(self.path)
        if self.b.delay_s:
            asyncio.get_running_loop().call_later(self.b.delay_s, self.answer, request)
        else:
            self.answer(request)

    def answer(self, request: dict[str, Any]) -> None:
        if self.b.drop == "before":
            self.transport.abort()
            return
        status, body = self._answer_of(request)
        head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n" % status
        if self.b.chunked:
            half = len(body) // 2
            parts = (body[:half], body[half:])
            framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
            data = head + b"transfer-encoding: chunked\r\n\r\n" + framed
        else:
            data = head + b"content-length: %d\r\n\r\n" % len(body) + body
        if self.b.drop == "middle":
            self.transport.write(data[:-10])
            self.transport.close()
            return
        if not self.transport.is_closing():
            self.transport.write(data + self.b.surplus)
            if self.b.close_after:
                self.transport.close()

    def _answer_of(self, request: dict[str, Any]) -> tuple[int, bytes]:
        named = self.path.rpartition("/infer")[0].rpartition("/")[2].split(",")
        if self.b.members is None:
            return (404, b'{"error":"no such path"}') if len(named) > 1 else _one(self.b, request)
        answers = {int(name): _one(self.b.members[int(name)], request) for name in named}
        if len(named) == 1:
            return answers[int(named[0])]
        members = [
            {"version": str(version), "status": status, "answer": json.loads(body), "predict_ms": 2.0}
            for version, (status, body) in answers.items()
            if version not in self.b.absent
        ]
        return 200, json.dumps({"members": members, "span_ms": 2.0 * len(members)}).encode()


def _one(behaviour: Behaviour, request: dict[str, Any]) -> tuple[int, bytes]:
    make = behaviour.answer or infer_answer
    if behaviour.body is not None:
        return behaviour.status, behaviour.body
    return behaviour.status, make(
        request, behaviour.digest
    ) if behaviour.status == 200 else b'{"error":"as configured"}'


def infer_answer(request: dict[str, Any], digest: str) -> bytes:
    """p(up) is the row's first number, 0 when it is missing."""
    [tensor] = [item for item in request["inputs"] if item["name"] in ("num", "price")]
    rows, columns = tensor["shape"][0], tensor["shape"][1] if len(tensor["shape"]) > 1 else 1
    ups = [tensor["data"][row * columns] or 0.0 for row in range(rows)]
    scores = [value for up in ups for value in (1 - up, up)]
    outputs = [
        {"name": "class", "shape": [rows], "datatype": "BYTES", "data": ["up" if up > 0.5 else "down" for up in ups]},
        {"name": "scores", "shape": [rows, 2], "datatype": "FP64", "data": scores},
    ]
    answer = {"model_name": "elec", "model_version": "1", "outputs": outputs, "parameters": {"digest": digest}}
    return json.dumps(answer).encode()


@dataclass
class Replica:
    behaviour: Behaviour
    server: asyncio.Server
    protocols: list[_Protocol]
    url: str

    async def die(self) -> None:
        """As by kill -9: the port refuses, open connections break."""
        self.server.close()
        for protocol in self.protocols:
            if hasattr(protocol, "transport"):
                protocol.transport.abort()
        await asyncio.sleep(0)


async def start_replica(behaviour: Behaviour | None = None, port: int = 0) -> Replica:
    behaviour = behaviour or Behaviour()
    protocols: list[_Protocol] = []

    def make() -> _Protocol:
        protocols.append(_Protocol(behaviour))
        return protocols[-1]

    factory: Callable[[], asyncio.Protocol] = make
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)
    return Replica(behaviour, server, protocols, "http://{}:{}".format(*server.sockets[0].getsockname()))


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--digest", default=DIGEST_1)
    parser.add_argument("--fixed", action="store_true", help="always the same answer, for benchmarks")
    given = parser.parse_args()
    behaviour = Behaviour(given.digest, remember=False)
    replica = await start_replica(behaviour, given.port)
    if given.fixed:
        row = {"inputs": [{"name": "num", "shape": [1, 1], "data": [0.75]}]}
        behaviour.body = infer_answer(row, given.digest)
        _Protocol.on_message_complete = lambda self: self.answer({})  # type: ignore[method-assign]
    print(f"ready {replica.url}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_main())
