"""Processes of the benchmark: the floor (an echo), a peer (FastAPI and httpx), and the load."""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import httptools


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """As little as an ASGI program can do with a body."""
    if scope["type"] != "http":
        return
    body = (await receive()).get("body", b"")
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def peer(upstream: str) -> Any:
    """The same hop as most would write it: decode, call, encode; no key, no contract, no log."""
    import fastapi
    import httpx

    app = fastapi.FastAPI()
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=64))

    @app.post("/v1/predict/{route}")
    async def predict(route: str, body: dict[str, Any]) -> Any:
        features = body["features"]
        inputs = [{"name": "num", "shape": [1, len(features)], "datatype": "FP64", "data": list(features.values())}]
        answer = await client.post(f"{upstream}/v2/models/{route}/infer", json={"inputs": inputs})
        return answer.json()

    return app


class Caller(asyncio.Protocol):
    """One connection. interval_s 0: the next request goes out when the answer is in; else at its time, or late.

    A late request's latency counts from when it was due: a server that stalls does not get fewer bad figures for it.
    """

    def __init__(
        self, request: bytes, latencies: list[float], failures: list[int], interval_s: float, phase: float
    ) -> None:
        self.request, self.latencies, self.failures = request, latencies, failures
        self.interval_s, self.phase = interval_s, phase
        self.running = True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.due = self.loop.time() + self.interval_s * self.phase
        self.next()

    def next(self) -> None:
        if self.interval_s and self.loop.time() < self.due:
            self.loop.call_at(self.due, self.send)
        else:
            self.send()

    def send(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        now = time.perf_counter()
        self.began = now - max(self.loop.time() - self.due, 0.0) if self.interval_s else now
        self.due += self.interval_s
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.latencies.append(time.perf_counter() - self.began)
        if (status := self.parser.get_status_code()) != 200:
            self.failures.append(status)
        if self.running:
            self.next()


async def load(
    port: int, body: bytes, key: str, connections: int, seconds: float, rate: float, route: str = "elec"
) -> None:
    """Print {"requests", "failures", "seconds", "p50_ms", "p99_ms"}. rate: requests per second, 0: all that it can."""
    head = f"POST /v1/predict/{route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    request = f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    latencies: list[float] = []
    failures: list[int] = []
    loop = asyncio.get_running_loop()
    interval_s = connections / rate if rate else 0.0
    callers = [Caller(request, latencies, failures, interval_s, i / connections) for i in range(connections)]
    began = time.perf_counter()
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.sleep(seconds)  # sleep: the duration of the load
    for caller in callers:
        caller.running = False
    await asyncio.sleep(0.3)  # sleep: answers in flight arrive
    taken = sorted(latencies)
    figures = {
        "requests": len(taken),
        "failures": len(failures),
        "seconds": time.perf_counter() - began,
        "p50_ms": taken[len(taken) // 2] * 1000,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1000,
    }
    print(json.dumps(figures), flush=True)


def serve(app: Any) -> None:
    import uvicorn

    config = uvicorn.Config(app, port=0, http="httptools", loop="uvloop", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    server.run(sockets=[listener])


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["echo", "peer", "load"])
    parser.add_argument("--upstream", default="")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default="")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--route", default="elec")
    given = parser.parse_args()
    if given.what == "load":
        body = sys.stdin.buffer.read()
        uvloop.run(load(given.port, body, given.key, given.connections, given.seconds, given.rate, given.route))
    else:
        serve(echo if given.what == "echo" else peer(given.upstream))


if __name__ == "__main__":
    main()
