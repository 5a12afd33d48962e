"""A large platform: one model is trained on a stack, then its rows are copied in the stores of all services.

Copies stay true to what the services write themselves: manifests, runs, evaluations, rollouts, alarms and traffic are
those of the trained model under other names and ids. Nothing of a copy has to run, so its rollouts have ended.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import httpx
from sqlalchemy import Connection, Table, create_engine, insert, select, text

from modelyard import ApiError
from modelyard_cli.context import Platform
from modelyard_cli.stack.layout import Layout
from modelyard_contracts import DriftDetected
from modelyard_deployer.store.tables import ROLLOUTS
from modelyard_evaluator.store.evaluations import EVALUATIONS
from modelyard_registry.store import tables, tracking_tables
from modelyard_trainer.store.tables import runs as TRAINER_RUNS

from .test_train_command import NAMES, rows, train, write

MODELS: Final = int(os.environ.get("PAGE_MODELS", "10000"))
VERSIONS: Final = 10
"""Versions per model, each with a run and an evaluation."""
LINES: Final = 30
"""Lines of history per model."""
ROLLOUTS_PER_MODEL: Final = 2
ROUTES: Final = 50
"""Created one by one through the API, as the deployer publishes each to the routers."""
SERVED: Final = 1_000
"""Models with traffic in the last hour."""
REQUESTS: Final = 100
"""Per served model."""
ALARMS: Final = 20_000
STORED_S: Final = 120.0
BATCH: Final = 20_000
BASE: Final = "base"
Row = dict[str, Any]


@dataclass(frozen=True)
class Filled:
    """What a page needs to be asked for."""

    model: str
    versions: int
    after: str
    """Cursor in the middle of the list of models."""
    experiment: int
    route: str


def fill(folder: Path, registry_url: str) -> Filled:
    """Train the model and copy it; the registry's database is at `registry_url`."""
    layout, platform = Layout(folder), Platform.find(folder)
    _train(folder, platform)
    for at in range(ROUTES):
        platform.deployer.set_route(f"route-{at}", {"root": {"kind": "version", "model": BASE, "version": 1}})
    _in(registry_url, _registry)
    stores: Mapping[str, Callable[[Connection], None]] = {
        "trainer": _trainer,
        "evaluator": _evaluator,
        "deployer": _deployer,
    }
    for name, copy in stores.items():
        _in(f"sqlite:///{layout.data(name) / 'service.db'}", copy)
    _monitor(layout, platform)
    middle = platform.registry.search_models(limit=500).next_after or ""
    experiments = platform.registry.experiments()
    return Filled("model-77", MODELS * VERSIONS, middle, experiments[0].id, "route-7")


def name_of(number: int) -> str:
    return f"model-{number}"


def _train(folder: Path, platform: Platform) -> None:
    """Version 1 serves, with labelled requests that the monitor has stored."""
    result = train(folder, write(folder / "a.csv", rows(1_200)), model=BASE)
    assert result.returncode == 0, result.stdout + result.stderr
    row = dict(zip(NAMES[:-1], [None, "pro", "00007", 3, "a"], strict=True))
    for at in range(20):
        answer = platform.router.predict(BASE, row, prediction_id=f"base-{at}")
        platform.router.feedback(f"base-{at}", label=answer.class_)
    deadline = time.monotonic() + STORED_S
    while time.monotonic() < deadline:
        try:
            if platform.monitor.prediction("base-19")[0].labels:
                return
        except ApiError:  # not stored yet
            pass
        time.sleep(0.5)  # sleep: the monitor stores in batches
    raise TimeoutError("the monitor has not stored the requests")


def _in(url: str, copy: Callable[[Connection], None]) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), connect_args=_patient(url))
    with engine.begin() as connection:
        copy(connection)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def _patient(url: str) -> Row:
    return {"timeout": 120} if url.startswith("sqlite") else {}


def _add(db: Connection, table: Table, copies: Iterator[Row]) -> None:
    while batch := list(islice(copies, BATCH)):
        db.execute(insert(table), batch)


def _of(db: Connection, table: Table, **where: Any) -> list[Row]:
    query = select(table).where(*(table.c[name] == value for name, value in where.items()))
    return [dict(row) for row in db.execute(query).mappings()]


def _uuid(*parts: object) -> UUID:
    return uuid5(NAMESPACE_OID, "/".join(map(str, parts)))


def _digest(*parts: object) -> str:
    return "sha256:" + hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def _registry(db: Connection) -> None:
    t = tables
    base = next(row for row in _of(db, t.resources, kind="model") if row["name"] == BASE)
    [version] = _of(db, t.versions, resource_id=base["id"])
    numbers, at = range(1, MODELS + 1), base["created_at"]
    first = 1_000_000

    def of_version(row: Row, n: int, v: int, **more: Any) -> Row:
        return {**row, "resource_id": first + n, "version": v, **more}

    _add(
        db,
        t.resources,
        (
            {
                **base,
                "id": first + n,
                "name": name_of(n),
                "owner": f"team-{n % 40}" if n % 50 else "",
                "description": f"what model {n} is for, in a sentence",
                "labels": {"area": f"area-{n % 7}"},
                "last_version": VERSIONS,
                "entries": LINES,
                "revision": LINES,
                "created_at": at - timedelta(minutes=n),
            }
            for n in numbers
        ),
    )
    _add(
        db,
        t.versions,
        (
            of_version(
                version,
                n,
                v,
                digest=_digest("manifest", n, v),
                stage=_stage(n, v),
                idempotency_key=f"{n}-{v}",
                run_id=str(_uuid("run", n, v)),
                correlation_id=_uuid("correlation", n, v),
                last_event_id=_uuid("event", n, v),
                framework=("scikit-learn", "xgboost", "lightgbm")[n % 3],
                license=("mit", "apache-2.0")[n % 2],
                created_at=at - timedelta(minutes=n, seconds=VERSIONS - v),
            )
            for n in numbers
            for v in range(1, VERSIONS + 1)
        ),
    )
    files = _of(db, t.version_files, resource_id=base["id"])
    _add(
        db,
        t.version_files,
        (
            # Every fiftieth model holds the files of another one: a duplicate.
            of_version(file, n, v, digest=_digest(file["path"], n - 1 if n % 50 == 0 else n, v))
            for n in numbers
            for v in range(1, VERSIONS + 1)
            for file in files
        ),
    )
    for table in (t.scan_reports, t.card_releases):
        found = _of(db, table, resource_id=base["id"])
        _add(db, table, (of_version(row, n, v) for n in numbers for v in range(1, VERSIONS + 1) for row in found))
    _add(
        db,
        t.aliases,
        (of_version(row, n, VERSIONS) for n in numbers for row in _of(db, t.aliases, resource_id=base["id"])),
    )
    _add(
        db,
        t.policies,
        ({**row, "resource_id": first + n} for n in numbers for row in _of(db, t.policies, resource_id=base["id"])),
    )
    lines = _of(db, t.history, resource_id=base["id"])
    _add(
        db,
        t.history,
        (
            {
                **(line := lines[position % len(lines)]),
                "resource_id": first + n,
                "position": position + 1,
                "revision": position + 1,
                "version": 1 + position % VERSIONS if line["version"] else None,
                "event_id": _uuid("line", n, position),
                "correlation_id": _uuid("correlation", n, 1 + position % VERSIONS),
                "reason": f"a reason of some words, number {n}",
                "actor": f"person-{n % 50}",
                "recorded_at": at - timedelta(seconds=n * LINES - position),
            }
            for n in numbers
            for position in range(LINES)
        ),
    )
    _experiments(db, base)


def _stage(n: int, v: int) -> str:
    """The newest serves, a few wait for a person, the rest are past."""
    if v == VERSIONS:
        return "live" if n % 20 else "evaluated"
    return "retired" if v % 3 else "rejected"


def _experiments(db: Connection, base: Row) -> None:
    t = tracking_tables
    [run] = [row for row in _of(db, t.runs) if row["model"] == BASE]
    [experiment] = _of(db, t.experiments, id=run["experiment_id"])
    first, numbers = 1_000_000, range(1, MODELS + 1)
    pairs = [(n, v) for n in numbers for v in range(1, VERSIONS + 1)]
    _add(db, t.experiments, ({**experiment, "id": first + n, "name": name_of(n)} for n in numbers))
    _add(
        db,
        t.runs,
        (
            {
                **run,
                "id": _uuid("run", n, v).hex,
                "experiment_id": first + n,
                "model": name_of(n),
                "version": v,
            }
            for n, v in pairs
        ),
    )
    for table in (t.run_texts, t.run_latest, t.run_metrics):
        found = _of(db, table, run_id=run["id"])
        _add(db, table, ({**row, "run_id": _uuid("run", n, v).hex} for n, v in pairs for row in found))


def _documents(base: Row, pairs: list[tuple[int, int]], kind: str) -> Iterator[Row]:
    """Copies of a row whose `document` is JSON: the id, the model, and the versions are changed in both."""
    document = json.dumps(base["document"])
    at: datetime = base["created_at"]
    for n, v in pairs:
        id_ = _uuid(kind, n, v)
        written = document.replace(str(base["id"]), str(id_)).replace(f'"{BASE}"', f'"{name_of(n)}"')
        moved = {"id": id_, "model": name_of(n), "created_at": at - timedelta(seconds=60 * n + v)}
        yield {**base, **moved, "document": json.loads(written)}


def _pairs(each: int) -> list[tuple[int, int]]:
    return [(n, v) for n in range(1, MODELS + 1) for v in range(1, each + 1)]


def _trainer(db: Connection) -> None:
    [run] = _of(db, TRAINER_RUNS)
    _add(db, TRAINER_RUNS, _documents(run, _pairs(VERSIONS), "run"))


def _evaluator(db: Connection) -> None:
    [found] = _of(db, EVALUATIONS)
    _add(db, EVALUATIONS, _documents(found, _pairs(VERSIONS), "evaluation"))


def _deployer(db: Connection) -> None:
    [found] = _of(db, ROLLOUTS)
    _add(db, ROLLOUTS, _documents(found, _pairs(ROLLOUTS_PER_MODEL), "rollout"))


def _monitor(layout: Layout, platform: Platform) -> None:
    """Requests and labels of the last hour, the events of all models, and alarms."""
    served = f"(SELECT number + 1 AS n FROM numbers({min(SERVED, MODELS)})) AS m"
    requests = f"(SELECT number AS r FROM numbers({REQUESTS})) AS r"
    shifted = "now64(6, 'UTC') - toIntervalSecond((n * 7 + r * 31) % 3500)"
    one = "(SELECT * FROM {db}.%s WHERE prediction_id = 'base-19' LIMIT 1)"
    statements = [
        f"INSERT INTO {{db}}.predictions SELECT p.* REPLACE (concat('model-', toString(n)) AS model, "
        f"concat(toString(n), '-', toString(r)) AS prediction_id, {shifted} AS occurred_at, {shifted} AS received_at, "
        f"toUInt64(1000000000 + n * {REQUESTS} + r) AS _offset) FROM {one % 'predictions'} AS p, {served}, {requests}",
        f"INSERT INTO {{db}}.labels SELECT p.* REPLACE (concat('model-', toString(n)) AS model, "
        f"concat(toString(n), '-', toString(r)) AS prediction_id, {shifted} AS predicted_at, {shifted} AS received_at, "
        f"toUInt64(1000000000 + n * {REQUESTS} + r) AS _offset) FROM {one % 'labels'} AS p, {served}, {requests}",
        "INSERT INTO {db}.events SELECT e.* REPLACE (concat('model-', toString(n)) AS model, "
        # A timeline of its own for each model, as a loop has: the last 12 digits of a correlation id are the model's.
        "concat(substring(correlation_id, 1, 24), leftPad(lower(hex(n)), 12, '0')) AS correlation_id, "
        "toString(generateUUIDv4()) AS event_id, occurred_at - toIntervalSecond(n * 60) AS occurred_at, "
        "toUInt64(1000000000 + n * 100 + rowNumberInAllBlocks()) AS _offset) "
        f"FROM (SELECT * FROM {{db}}.events WHERE model = '{BASE}') AS e, "
        f"(SELECT number + 1 AS n FROM numbers({MODELS})) AS m",
    ]
    for statement in statements:
        _clickhouse(layout, platform, statement)
    _alarms(layout, platform)


def _alarms(layout: Layout, platform: Platform) -> None:
    """Alarms as the monitor publishes them, two of each model that has any."""
    example = next((Path("schemas") / DriftDetected.TOPIC / "examples").glob("*.json"))
    at = datetime.now(UTC) - timedelta(minutes=1)
    lines = []
    for number in range(ALARMS):
        payload = {**json.loads(example.read_text()), "event_id": str(_uuid("alarm", number))}
        payload["model"] = name_of(1 + number % MODELS)
        when = (at - timedelta(seconds=number)).strftime("%Y-%m-%d %H:%M:%S.%f")
        row = {
            "event_id": payload["event_id"],
            "topic": DriftDetected.TOPIC,
            "occurred_at": when,
            "recorded_at": when,
            "correlation_id": str(_uuid("alarm-correlation", number)),
            "model": payload["model"],
            "type": "DriftDetected",
            "key": payload["model"],
            "payload": json.dumps(payload),
            "_topic": DriftDetected.TOPIC,
            "_partition": 0,
            "_offset": 2_000_000_000 + number,
        }
        lines.append(json.dumps(row))
    _clickhouse(layout, platform, "INSERT INTO {db}.events FORMAT JSONEachRow\n" + "\n".join(lines))


def _clickhouse(layout: Layout, platform: Platform, sql: str) -> None:
    """Run a statement as the user that writes."""
    password = json.loads((layout.data("clickhouse") / "passwords.json").read_text())["writer"]
    body = sql.replace("{db}", platform.clickhouse_database)
    answer = httpx.post(platform.clickhouse_url, content=body, auth=("writer", password), timeout=300)
    assert answer.status_code == 200, (sql[:300], answer.text[:1_000])
