"""Prices of bought models: those of the connection as it is now, in routes that are published anew."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from modelyard_contracts.connections import Connection, ModelTerms
from modelyard_contracts.manifest import ManifestFile, Price
from modelyard_contracts.routes import VersionLeaf
from modelyard_deployer.domain.publication import leaves_of
from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.workloads.connections import ConnectionFiles
from modelyard_deployer.workloads.prices import ConnectionPrices, price_now
from modelyard_devstack.testing.openai import bought_manifest
from modelyard_runtime.provider_keys import ProviderKeys

from .conftest import MODEL, World, a_manifest
from .test_connections import Registry

REGISTERED = Price(usd_per_call=7.0)
DEAR = Price(usd_per_call=0.5, usd_per_1k_input_tokens=1.0, usd_per_1k_output_tokens=2.0)
TERMS = {"input_per_million_tokens": 1_000, "output_per_million_tokens": 2_000, "per_call": 0.5}


def connection(currency: str = "USD", **models: dict[str, Any]) -> Connection:
    terms = {name.replace("_", "-"): ModelTerms.model_validate(one) for name, one in models.items()}
    return Connection(endpoint="https://api.example.com/v1", currency=currency, models=terms)


class Bought:
    """A version of a provider's model with its files, and the connection that it names."""

    def __init__(self, home: Path) -> None:
        (home / "replicas").mkdir(parents=True)
        (home / "file").mkdir()
        manifest = bought_manifest(home / "file", "openai").model_copy(update={"price": REGISTERED})
        self.version = Version("help", 1, "approved", ManifestFile.write(manifest))
        self.folder = home / "models" / self.version.digest.removeprefix("sha256:")
        self.folder.parent.mkdir()
        (home / "file").rename(self.folder)
        self.registry, self.woken = Registry(), list[str]()
        self.files = ConnectionFiles(home / "replicas", self.registry.read, ProviderKeys(home))
        self.prices = ConnectionPrices(self.files, home / "models", self.woken.append)

    def starts(self) -> None:
        self.files.file(uuid4(), self.version.file.manifest)


@pytest.fixture
def bought(tmp_path: Path) -> Bought:
    return Bought(tmp_path / "bought")


def test_the_price_follows_the_connection_and_wakes_its_models(bought: Bought) -> None:
    assert bought.prices.of(bought.version) is None  # not read yet: the last published price holds
    bought.registry.connection = connection(small_1=TERMS)
    bought.starts()
    assert bought.prices.of(bought.version) == DEAR
    bought.prices.refresh()
    assert bought.woken == []
    bought.registry.revision, bought.registry.connection = 2, connection(small_1={"per_call": 0.25})
    bought.prices.refresh()
    assert (bought.woken, bought.prices.of(bought.version)) == (["help"], Price(usd_per_call=0.25))


def test_without_the_registry_the_last_known_price_holds(bought: Bought) -> None:
    bought.registry.connection = connection(small_1=TERMS)
    bought.starts()
    bought.registry.down, bought.registry.connection = True, None
    bought.prices.refresh()
    assert (bought.woken, bought.prices.of(bought.version)) == ([], DEAR)


def test_a_version_without_connection_has_the_price_of_its_manifest(bought: Bought) -> None:
    version = Version(MODEL, 1, "approved", ManifestFile.write(a_manifest()))
    assert bought.prices.of(version) == version.file.manifest.price


def test_without_its_files_the_price_is_not_known(bought: Bought) -> None:
    bought.registry.connection = connection(small_1=TERMS)
    bought.starts()
    (bought.folder / "api.json").unlink()
    assert bought.prices.of(bought.version) is None


@pytest.mark.parametrize(
    ("now", "price"),
    [
        (connection(small_1=TERMS), DEAR),
        (connection(small_1={}), Price()),
        (connection("EUR", small_1=TERMS), REGISTERED),
        (connection(), REGISTERED),
        (connection(other=TERMS), Price()),
        (None, Price()),
    ],
    ids=["listed", "free", "other-currency", "no-table", "no-longer-listed", "deleted"],
)
def test_which_price_holds(now: Connection | None, price: Price) -> None:
    assert price_now(now, "small-1", REGISTERED) == price


def leaf(world: World) -> VersionLeaf:
    return leaves_of(world.route().plan)[VersionKey(MODEL, 1)]


def test_a_changed_price_publishes_the_route_once(world: World) -> None:
    now: list[Price | None] = [DEAR]
    world.reconciler = replace(world.reconciler, price_of=lambda _: now[0])
    world.given_serving(1)
    sequence = world.route().sequence
    assert leaf(world).price == DEAR
    now[0] = Price(usd_per_call=0.25)
    world.settle()
    world.settle()
    assert (world.route().sequence, leaf(world).price) == (sequence + 1, now[0])
    now[0] = None
    world.settle()
    assert (world.route().sequence, leaf(world).price) == (sequence + 1, Price(usd_per_call=0.25))
