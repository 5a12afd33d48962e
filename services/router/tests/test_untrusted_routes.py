"""Route tables that the deployer did not sign, tables with addresses elsewhere, and sequences that jump."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from modelyard_contracts import RoutePublished
from modelyard_contracts.codec import Codec
from modelyard_contracts.topics import topic
from modelyard_devstack.testing import DevServer, eventually
from modelyard_devstack.testing.signing import Signers
from modelyard_router.domain.addresses import DEFAULT, AllowedAddresses, InvalidAddresses
from modelyard_router.domain.errors import UnusableRoute
from modelyard_router.events.reader import RouteReader
from modelyard_router.plan.compile import compile_route
from modelyard_router.plan.leaf import ModelServers
from modelyard_router.store.route_tables import MAX_JUMP, Effect
from modelyard_runtime.headers import to_wire
from modelyard_runtime.kafka import Received, ensure_topics

from .conftest import World, table, target

SIGNERS = Signers.fresh()
HERE = "http://127.0.0.1:9"
HUGE = 2**53


class Announced:
    """What the router told the deployer, as (route, sequence, accepted)."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int, bool]] = []

    def announce(self, published: RoutePublished, *, accepted: bool, reason: str = "") -> None:
        self.all.append((published.route, published.sequence, accepted))


def reader(world: World, bootstrap: str = "127.0.0.1:1") -> RouteReader:
    app = world.app
    gate = SIGNERS.gate("router", app.readiness)
    return RouteReader(bootstrap, app.tables, Announced(), app.readiness, app.counters, Codec(), gate)


def record(published: RoutePublished, signer: str | None) -> Any:
    """As aiokafka hands it on."""
    found: Received = SIGNERS.received(published, signer)
    return as_client(found)


def as_client(found: Received) -> Any:
    return SimpleNamespace(
        topic=found.topic,
        partition=found.partition,
        offset=found.offset,
        key=found.key_bytes,
        value=found.value,
        headers=found.raw_headers,
    )


@pytest.mark.parametrize("signer", [None, "router", "evaluator"])
async def test_a_forged_table_is_not_applied_and_does_not_make_honest_ones_late(
    world: World, signer: str | None
) -> None:
    one = reader(world)
    await one.apply(record(table(target(HERE), sequence=3), "deployer"))
    await one.apply(record(table(target("http://203.0.113.7:80"), sequence=HUGE), signer))
    assert world.app.tables.routes["elec"].published.sequence == 3
    await one.apply(record(table(target(HERE), sequence=4), "deployer"))
    assert world.app.tables.routes["elec"].published.sequence == 4
    assert world.app.counters.tables["not_signed"] == 1
    assert "not signed by deployer" in str(world.app.readiness.as_dict())
    assert world.app.readiness.as_dict()["checks"]["signatures"]["ok"]  # type: ignore[index]


async def test_nobody_can_remove_a_route_with_a_tombstone(world: World) -> None:
    one = reader(world)
    await one.apply(record(table(target(HERE), sequence=3), "deployer"))
    tombstone = record(table(target(HERE), sequence=3), "deployer")
    tombstone.value = None
    await one.apply(tombstone)
    assert "elec" in world.app.tables.routes


@pytest.mark.server
async def test_a_flood_of_forged_tables_delays_no_honest_one_for_long(world: World, own_devkafka: DevServer) -> None:
    bootstrap, stop, route = own_devkafka.bootstrap, asyncio.Event(), f"r-{uuid4().hex[:8]}"
    await ensure_topics(bootstrap, [topic(RoutePublished.TOPIC)])
    forged = record(table(target(HERE), route=route, sequence=HUGE), "evaluator")
    honest = record(table(target(HERE), route=route, sequence=1), "deployer")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20) as producer:
        for one in (*[forged] * 3_000, honest):
            wire = to_wire({name: (value or b"").decode() for name, value in one.headers})
            await producer.send(one.topic, one.value, key=one.key, headers=wire, partition=0)
        await producer.flush()
    reading = asyncio.create_task(reader(world, bootstrap).run(stop))
    await eventually(lambda: route in world.app.tables.routes, 120, what="the honest table")
    stop.set()
    await reading
    assert world.app.tables.routes[route].published.sequence == 1


def test_a_sequence_that_no_deployer_reaches_is_refused_and_the_next_honest_one_applied(world: World) -> None:
    tables = world.app.tables
    assert tables.offer(table(target(HERE), sequence=HUGE)).effect is Effect.REFUSED
    assert tables.offer(table(target(HERE), sequence=7)).effect is Effect.APPLIED
    refused = tables.offer(table(target(HERE), sequence=7 + MAX_JUMP + 1))
    assert (refused.effect, "routes.json" in refused.reason) == (Effect.REFUSED, True)
    assert tables.offer(table(target(HERE), sequence=8)).effect is Effect.APPLIED
    assert tables.offer(table(target(HERE), sequence=8 + MAX_JUMP)).effect is Effect.APPLIED


def test_a_deletion_that_jumps_is_refused_too(world: World) -> None:
    tables = world.app.tables
    tables.offer(table(target(HERE), sequence=7))
    deleted = table(target(HERE), sequence=HUGE).model_copy(update={"plan": ""})
    assert tables.offer(deleted).effect is Effect.REFUSED
    assert "elec" in tables.routes


PRIVATE = ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "fd00::1", "localhost", "deployer"]
ELSEWHERE = [
    *("8.8.8.8", "169.254.169.254", "203.0.113.7", "2001:db8::1", "fe80::1%eth0", "::ffff:8.8.8.8", "0.0.0.0"),
    *("example.com", "deployer.example.com", "134744072", "0x8080808", "8.2056", "127.0.0.1.example.com", "-", ""),
]


@pytest.mark.parametrize("host", PRIVATE)
def test_this_machine_and_private_networks_are_allowed(host: str) -> None:
    assert AllowedAddresses.parse(DEFAULT).allow(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_other_hosts_are_not(host: str) -> None:
    assert not AllowedAddresses.parse(DEFAULT).allow(host)


def test_hosts_and_domains_can_be_named() -> None:
    allowed = AllowedAddresses.parse("models.example.com, *.svc.cluster.local, 203.0.113.0/24")
    for host in ("models.example.com", "MODELS.example.com.", "a.b.svc.cluster.local", "203.0.113.9"):
        assert allowed.allow(host)
    for host in ("example.com", "svc.cluster.local", "evilsvc.cluster.local", "deployer", "127.0.0.1"):
        assert not allowed.allow(host)


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://a", "a b", "*", "*.", "1.2.3.4.5"])
def test_an_entry_that_is_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddresses):
        AllowedAddresses.parse(text)


@pytest.mark.parametrize("url", ["http://203.0.113.7:80", "http://[2001:db8::1]:80", "http://example.com"])
def test_the_token_and_features_are_sent_to_no_other_address(url: str) -> None:
    servers = ModelServers("a-token-of-model-servers")
    with pytest.raises(UnusableRoute, match="ROUTER_UPSTREAM_NETWORKS"):
        compile_route(table(target(HERE, weight=0.5), target(url, weight=0.5, variant="canary", version=2)), servers)
    named = ModelServers(servers.token, AllowedAddresses.parse("203.0.113.0/24,2001:db8::/32,example.com"))
    [leaf] = compile_route(table(target(url)), named).leaves
    assert b"a-token-of-model-servers" in leaf.infer_head[0]
