"""Any column names and cells take the whole path: file, training, registry, serving, log, ClickHouse, retraining."""

import asyncio
import csv
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from modelyard import RegistryClient
from modelyard_cli.train import read_preview
from modelyard_contracts import FeedbackReceived, PredictionLogged
from modelyard_contracts.codec import Codec
from modelyard_contracts.inference import decode_request
from modelyard_contracts.manifest import ManifestFile
from modelyard_contracts.signature import ColumnType, Signature
from modelyard_contracts.tables.arrow import arrow_table
from modelyard_contracts.tables.inference import Choices, TrainingPlan, converted
from modelyard_contracts.tables.table import Table, UnfitFile
from modelyard_contracts.usable import usable_number
from modelyard_contracts.usable.values import BLANK
from modelyard_devstack.testing.cells import cells, column_names
from modelyard_flavours import load_model, predictor_of, save_model
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.batches import PartitionLocks
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import connect
from modelyard_monitor.testing.fakes import Letters, Manifests, Sent
from modelyard_monitor.testing.samples import START, records
from modelyard_registry.testing import InProcessRegistry
from modelyard_router.domain.contract import Contract, Values
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.health import Readiness
from modelyard_serving.lanes import Inputs
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.recipes import TabularParameters
from modelyard_trainer.domain.split import split_rows
from modelyard_trainer.recipes.estimators import fit_tabular
from modelyard_trainer.worker.dataset import Dataset, rows_of
from modelyard_trainer.worker.live import Names, table_of
from modelyard_trainer.worker.manifest import manifest_of
from modelyard_trainer.worker.signature import signature_of
from modelyard_trainer.worker.snapshot import Statements
from modelyard_trainer.worker.table import read_table
from modelyard_trainer.worker.work import Rows, Trained, Work

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]
FILE_ROWS: Final = 500
SERVED: Final = 12
TIME: Final = "2100-01-01 00:00:00"
FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
_model = itertools.count()

Columns = dict[str, list[str]]
"""Name to cells, which are repeated until the file has FILE_ROWS rows."""


def stripped_names() -> st.SearchStrategy[str]:
    """Names that the header of a file can hold: not blank, without NUL."""
    return column_names().map(lambda name: name.strip(BLANK).replace("\x00", "")).filter(bool)


def pools() -> st.SearchStrategy[list[str]]:
    """Cells of one column: of one kind with missing ones, or of any kinds."""
    missing = st.sampled_from(["", "NA", "null", "-", "NaN"])
    kinds = [
        st.floats(allow_nan=False).map(repr),
        st.integers(-(2**62), 2**62).map(str),
        st.sampled_from(["true", "false", "TRUE"]),
        st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.isoformat()),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60),
        cells().filter(lambda cell: "\x00" not in cell),
    ]
    return st.sampled_from(kinds).flatmap(lambda kind: st.lists(kind | missing, min_size=1, max_size=7))


def files() -> st.SearchStrategy[Columns]:
    """One to three features and a target."""
    return st.dictionaries(stripped_names(), pools(), min_size=1, max_size=3).flatmap(
        lambda features: (
            stripped_names()
            .filter(lambda name: name not in features)
            .map(lambda target: {**features, target: ["no", "yes", "yes"]})
        )
    )


@dataclass
class Platform:
    """The parts that are shared by all examples."""

    registry: RegistryClient
    clickhouse: ClickHouse
    folder: Path


@pytest.fixture(scope="module")
def platform(devclickhouse: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("any-file")
    writer = devclickhouse.writer
    clickhouse = ClickHouse(connect(devclickhouse.url, writer.user, writer.password), f"any_{uuid4().hex[:8]}")
    clickhouse.migrate()
    with InProcessRegistry(folder, FakeClock(START)) as registry:
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        yield Platform(client, clickhouse, folder)


NASTY: Final[Columns] = {
    'größe "in cm"': ["1e39", "-1.5", "NA", "1.7e308", "0"],
    "plan\nname\t\\": ["a'b", '"', "\\N", "NA", "", "null", "\\"],
    "num": ["2026-01-01T00:00:00", "1950-06-01", ""],
    "label": ["yes", "no", "yes"],
}


@FEW
@given(columns=files())
@example(columns=NASTY)
@example(columns={"prediction_id": ["1", "2"], "label": ["00123", "1"], "occurred_at": ["a"], "left": ["no", "yes"]})
@example(columns={"class": ["true", "false", ""], "cat": ["x"], "num": ["10_1", "٣"], "score": ["no", "yes"]})
def test_what_is_trained_is_what_is_served_stored_and_learnt_again(platform: Platform, columns: Columns) -> None:
    with tempfile.TemporaryDirectory(dir=platform.folder) as folder:
        table, plan = read(Path(folder) / "any.csv", columns)
        event("refused" if table is None else "served")
        if table is None or plan is None:
            return
        data, rows = training_rows(Path(folder), table, plan)
        model, file = register(platform, Path(folder), data, rows)
        contract = Contract(file.manifest.feature_schema_id, file.manifest.signature)
        served = [contract.values(contract.decode(request_of(table, plan, row)).features) for row in range(SERVED)]
        check_served(Path(folder), contract, file, served, rows)
        store(platform.clickhouse, model, file, served, table.cells(plan.target))
        check_stored(platform.clickhouse, model, file.manifest.signature, contract.id, rows)


def read(path: Path, columns: Columns) -> tuple[Table | None, TrainingPlan | None]:
    """The table and its plan; (None, None) if the file is refused, which takes one sentence."""
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(columns)
        lines.writerows([pool[row % len(pool)] for pool in columns.values()] for row in range(FILE_ROWS))
    try:
        preview = read_preview(path, Choices(target=list(columns)[-1], time="none"))
    except UnfitFile as error:
        assert "\n" not in str(error) and len(str(error)) < 1_000
        return None, None
    assert all("\n" not in line for line in preview.lines() if "time:" in line)
    return preview.table, preview.plan


def training_rows(folder: Path, table: Table, plan: TrainingPlan) -> tuple[Dataset, Rows]:
    """The rows as the trainer reads the uploaded file."""
    pq.write_table(arrow_table(table, plan), folder / "data.parquet")
    spec = DataSpec(target=plan.target, time=None, task=plan.task, columns=dict(plan.types))
    found, time = read_table(folder / "data.parquet", spec, as_of_s=1e9)
    data = Dataset(found, signature_of(found, spec, time, None), plan.target, time)
    return data, rows_of(data)


def register(platform: Platform, folder: Path, data: Dataset, rows: Rows) -> tuple[str, ManifestFile]:
    """Fit, save and register a version; returns the model's name and the manifest as the registry has it."""
    name, parameters = f"any-{next(_model)}", TabularParameters(metric="accuracy", max_iterations=3)
    split = split_rows(len(rows), 50)
    work = Work(rows, split, data.signature, parameters, folder, 1, lambda *_: None)
    fitted = fit_tabular("boosting", parameters, work.used, data.signature)
    outputs = predictor_of(fitted.flavour, fitted.model).predict(work.holdout.numeric, work.holdout.categorical)
    entries = save_model(fitted.flavour, fitted.model, folder)
    request = {"model": name, "signature": None, "signature_id": None, "run_id": "r"}
    trained = Trained(fitted.flavour, fitted.model, outputs, "")
    own = (data.target, data.time)
    manifest = manifest_of(request, "tabular-classifier", f"sha256:{'0' * 64}", work, trained, {}, entries, own)
    platform.registry.create_model(name)
    files = {entry.path: folder / entry.path for entry in entries}
    version = platform.registry.register(manifest, files, idempotency_key=name)
    return name, platform.registry.manifest_file(name, version.version)


def request_of(table: Table, plan: TrainingPlan, row: int) -> bytes:
    """The row as a caller sends it."""
    one = table.only([row])
    features = {name: as_json(converted(one, name, type_)[0], type_) for name, type_ in plan.types.items()}
    return msgspec.json.encode({"features": features})


def as_json(value: Any, type_: ColumnType) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if type_ is ColumnType.NUMBER and not np.isfinite(value if value is not None else np.nan) else value


def check_served(folder: Path, contract: Contract, file: ManifestFile, served: list[Values], rows: Rows) -> None:
    """Router and model server compute with the numbers and texts of the training."""
    predictor = load_model(file.manifest, folder)
    for row, values in enumerate(served):
        sent = contract.codec.rows(decode_request(contract.infer_body(values.numbers, values.words), max_rows=1))
        inputs = Inputs.of(sent, len(contract.numeric), len(contract.categorical))
        numbers = np.where(np.isfinite(rows.numeric[row]), rows.numeric[row], np.nan)
        np.testing.assert_array_equal(inputs.numeric[0], numbers)
        assert inputs.categorical[0].tolist() == rows.categorical[row].tolist()
        wanted = predictor.predict(rows.numeric[row : row + 1], rows.categorical[row : row + 1])
        np.testing.assert_array_equal(predictor.predict(inputs.numeric, inputs.categorical), wanted)


def store(clickhouse: ClickHouse, model: str, file: ManifestFile, served: list[Values], labels: list[str]) -> None:
    """Log the predictions and their labels, and ingest both."""
    manifests, sent, letters, clock = Manifests(), Sent(), Letters(), FakeClock(START)
    manifests.known[(model, 1)] = file.manifest
    counter = Counter(clickhouse, manifests, Unwatched(), Readiness())
    logged = [
        PredictionLogged(
            event_id=uuid4(),
            occurred_at=START + timedelta(seconds=row),
            prediction_id=f"{model}-{row}",
            model=model,
            model_version=1,
            model_digest=file.digest,
            route=model,
            feature_schema_id=file.manifest.feature_schema_id,
            num_features=values.numbers,
            cat_features=values.words,
            class_="yes",
            score=0.5,
        )
        for row, values in enumerate(served)
    ]
    given = [
        FeedbackReceived(
            event_id=uuid4(),
            occurred_at=START + timedelta(seconds=60 + row),
            prediction_id=f"{model}-{row}",
            label="YES" if row == 0 else labels[row],
        )
        for row in range(len(served))
    ]
    first = int(model.removeprefix("any-")) * 1_000
    predictions = PredictionIngest(clickhouse, counter, Codec(), sent, letters)
    assert asyncio.run(predictions.store(records(logged, first))) == len(served)
    asyncio.run(
        LabelIngest(clickhouse, manifests, Codec(), sent, letters, PartitionLocks(), clock, grace_s=0).store(
            records(given, first)
        )
    )
    assert not letters.letters


def check_stored(clickhouse: ClickHouse, model: str, signature: Signature, signature_id: str, rows: Rows) -> None:
    """Every feature is counted, and a retraining reads the same rows; the label of another class is left out."""
    counted = clickhouse.rows(
        f"SELECT feature, sum(n) AS n FROM {{db}}.feature_bins WHERE model = '{model}' GROUP BY feature"
    )
    bins = {row["feature"]: int(row["n"]) for row in counted}
    assert {column.name: bins.get(column.name) for column in signature.columns} == {
        column.name: SERVED for column in signature.columns
    }
    statements = Statements.of(signature, signature_id)
    parameters = {**statements.parameters, "model": model, "as_of": TIME, "rows": 100}
    ask = {"model": model, **parameters}
    found = clickhouse.table(statements.rows.replace("FROM v_labelled", "FROM {db}.v_labelled"), ask)
    names = Names.beside(signature)
    live = table_of(found, signature).sort_by(names.time)
    again = rows_of(Dataset(live, signature, names.target, names.time))
    assert len(again) == SERVED - 1
    usable = np.vectorize(usable_number, otypes=[bool])
    kept = rows.numeric[1:SERVED]
    np.testing.assert_allclose(again.numeric[usable(kept)], kept[usable(kept)], rtol=0, atol=1e-6)
    assert np.isnan(again.numeric[~np.isfinite(kept)]).all()
    assert again.categorical.tolist() == rows.categorical[1:SERVED].tolist()
    np.testing.assert_array_equal(again.targets, cast(Any, rows.targets)[1:SERVED])
