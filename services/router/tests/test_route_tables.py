"""Route tables: only newer ones, only whole ones, kept over a restart."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts import RoutePublished
from modelyard_contracts.documents import canonical_json
from modelyard_contracts.signature import new_schema_id
from modelyard_router.plan.compile import compile_route
from modelyard_router.store.route_tables import Effect, RouteTables

from .conftest import SCHEMA, Target, plan_of, table, target
from .replica import DIGEST_2

ONE = target("http://127.0.0.1:9")


def canary(weight: float) -> RoutePublished:
    other = target("http://127.0.0.1:8", variant="canary", version=2, digest=DIGEST_2, weight=weight)
    return table(target("http://127.0.0.1:9", weight=1 - weight), other)


def tables(folder: Path) -> RouteTables:
    return RouteTables(folder, compile_route)


def test_a_late_lower_sequence_changes_nothing(tmp_path: Path) -> None:
    held = tables(tmp_path)
    aborted = table(ONE, sequence=7)
    assert held.offer(aborted).effect is Effect.APPLIED
    raised = canary(0.5).model_copy(update={"sequence": 6})
    assert held.offer(raised).effect is Effect.STALE
    assert held.offer(canary(0.5).model_copy(update={"sequence": 7})).effect is Effect.STALE
    assert held.routes["elec"].published == aborted
    assert held.offer(canary(0.5).model_copy(update={"sequence": 8})).effect is Effect.APPLIED


def plan(*targets: Target) -> str:
    return canonical_json({"schema_version": 1, "root": plan_of(*targets)}).decode()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"plan": plan(target("http://a:1", weight=0.5))}, "add up to 0.5"),
    (
        {"plan": plan(target("http://a:1", weight=2), target("http://a:1", weight=-1, variant="x"))},
        "must be 0 or more",
    ),
    ({"plan": plan(target())}, "no urls"),
    ({"plan": plan(target("ftp://a:1"))}, "not an address"),
    ({"plan": plan(target("http://a:99999"))}, "not an address"),
    ({"plan": plan(target("http://a:1", weight=0.5), target("http://a:1", weight=0.5))}, "the same name"),
    ({"plan": plan(target("http://a:1", digest="bad\r\nheader: x"))}, "digest"),
    ({"signatures": {}}, "is not in the table"),
    ({"signatures": {new_schema_id(SCHEMA): "{"}}, "not JSON"),
    ({"timeout_ms": 0}, "timeout_ms"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_a_table_that_cannot_be_compiled_is_refused_and_the_old_one_stays(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    held = tables(tmp_path)
    held.offer(table(ONE, sequence=1))
    offered = held.offer(table(ONE, sequence=2).model_copy(update=change))
    assert offered.effect is Effect.REFUSED
    assert says in offered.reason
    assert held.routes["elec"].published.sequence == 1


def test_a_table_without_a_plan_deletes_the_route_and_an_earlier_one_does_not_bring_it_back(tmp_path: Path) -> None:
    held = tables(tmp_path)
    held.offer(table(ONE, sequence=4))
    assert held.offer(table(sequence=6)).effect is Effect.APPLIED
    assert held.routes == held.by_predict_path == {}
    assert held.offer(table(ONE, sequence=5)).effect is Effect.STALE
    assert held.offer(table(ONE, sequence=7)).effect is Effect.APPLIED
    assert set(held.routes) == {"elec"}


def test_one_table_on_disk_that_cannot_be_used_does_not_affect_the_others(tmp_path: Path) -> None:
    held = tables(tmp_path)
    for name in ("first", "second", "third"):
        held.offer(table(ONE, route=name))
    file = tmp_path / "routes.json"
    documents = json.loads(file.read_text())
    documents["first"]["signatures"] = {}
    documents["second"]["a_field_of_a_newer_release"] = 1
    file.write_text(json.dumps(documents))
    again = tables(tmp_path)
    again.load()
    assert set(again.routes) == {"second", "third"}


def test_tables_are_there_again_after_a_restart_without_a_broker(tmp_path: Path) -> None:
    held = tables(tmp_path)
    held.offer(table(ONE, sequence=4))
    held.offer(table(ONE, route="other", sequence=2))
    again = tables(tmp_path)
    again.load()
    assert {name: route.published.sequence for name, route in again.routes.items()} == {"elec": 4, "other": 2}
    assert again.offer(table(ONE, sequence=3)).effect is Effect.STALE
    again.remove("other")
    third = tables(tmp_path)
    third.load()
    assert set(third.by_predict_path) == {"/v1/predict/elec"}


@pytest.mark.parametrize("content", ["", "[]", "{", '{"elec": {}}', '{"elec": 1}'])
def test_a_damaged_file_is_no_reason_not_to_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "routes.json").write_text(content)
    held = tables(tmp_path)
    held.load()
    assert held.routes == {}


def test_a_model_is_found_by_its_own_name_only_when_one_route_serves_it(tmp_path: Path) -> None:
    held = tables(tmp_path)
    held.offer(table(ONE, route="pricing"))
    assert held.by_name.keys() == {"pricing", "elec"}
    held.offer(table(ONE, route="batch"))
    assert held.by_name.keys() == {"pricing", "batch"}


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    tables(tmp_path).offer(table(ONE, sequence=4))
    # Written by offer above; nothing of it is secret.
    assert json.loads((tmp_path / "routes.json").read_text())["elec"]["sequence"] == 4
