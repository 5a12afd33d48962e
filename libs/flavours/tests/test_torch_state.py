"""A state dict with its class: the answers are those of the network itself, and nothing runs while weights are read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.manifest import Permissions
from modelyard_contracts.signature import Column
from modelyard_flavours import FlavourError, Inadmissible, check_admissible, load_model

from .conftest import NAMES, assert_rows_alone, foreign_manifest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COLUMNS = [Column(name=f"x{place}") for place in range(4)]
CODE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, hidden, classes=3):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, hidden), torch.nn.Dropout(), torch.nn.ReLU(), torch.nn.Linear(hidden, classes)
        )

    def forward(self, rows):
        return self.layers(rows)
"""
ALLOWED = Permissions(code=True, reason="a test")
NO_TEXTS = np.zeros((300, 0), dtype=object)


@pytest.fixture
def network() -> Any:
    torch.manual_seed(4)
    layers = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.Dropout(), torch.nn.ReLU(), torch.nn.Linear(5, 3)
    ).eval()
    return torch.nn.ModuleDict({"layers": layers})


def given(folder: Path, module: str, **options: str) -> Any:
    (folder / f"{module}.py").write_text(CODE)
    stated = {"class": f"{module}:Net", "arguments": json.dumps({"hidden": 5}), "scores": "logits", **options}
    return foreign_manifest(folder, "torch-state", COLUMNS, NAMES[3], options=stated, permissions=ALLOWED)


@pytest.mark.parametrize("form", ["zip", "legacy", "checkpoint", "safetensors"])
def test_the_weights_in_their_class_answer_as_the_network(tmp_path: Path, network: Any, form: str) -> None:
    weights = network.state_dict()
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(weights, tmp_path / "weights.safetensors")
    else:
        saved = {"epoch": 3, "state_dict": weights} if form == "checkpoint" else weights
        torch.save(saved, tmp_path / "weights.pt", _use_new_zipfile_serialization=form != "legacy")
    manifest = given(tmp_path, f"net_{form}")
    check_admissible(manifest, tmp_path)
    predictor = load_model(manifest, tmp_path)
    rows = np.random.default_rng(0).normal(size=(300, 4))
    with torch.no_grad():
        expected = torch.softmax(network["layers"](torch.from_numpy(rows).float()), dim=1).numpy()
    np.testing.assert_allclose(predictor.predict(rows, NO_TEXTS), expected, atol=1e-6)
    assert_rows_alone(predictor, rows, NO_TEXTS, atol=1e-6)


class Hostile:
    def __reduce__(self) -> Any:
        return (eval, ("__import__('pathlib').Path('ran').touch()",))


def test_a_pickle_that_would_run_code_is_refused_although_code_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"layers": Hostile()}, tmp_path / "weights.pt")
    with pytest.raises(Inadmissible, match=r"weights\.pt: is no state dict that can be loaded without running code"):
        load_model(given(tmp_path, "net_hostile"), tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"arguments": '{"hidden": 6}'}, r"weights\.pt: does not fit net_wrong:Net: .*size mismatch"),
        ({"arguments": "{}"}, r"options\.class: net_wrong:Net: TypeError: .*'hidden'"),
        ({"arguments": "[1]"}, r"options\.arguments: is no JSON object"),
        ({"class": "net_wrong"}, r"options\.class: names no class; write module:Class"),
        ({"class": "net_wrong:Other"}, r"AttributeError: .*'Other'"),
        ({"class": "absent_module:Net"}, r"ModuleNotFoundError: No module named 'absent_module'"),
        ({"class": "collections:OrderedDict", "arguments": "{}"}, r"gives a OrderedDict, not a torch\.nn\.Module"),
    ],
)
def test_a_class_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, network: Any, options: dict[str, str], problem: str
) -> None:
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(FlavourError, match=problem):
        load_model(given(tmp_path, "net_wrong", **options), tmp_path)


def test_the_class_is_not_imported_without_the_permission(tmp_path: Path, network: Any) -> None:
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    manifest = given(tmp_path, "net_unallowed").model_copy(update={"permissions": Permissions()})
    (tmp_path / "net_unallowed.py").write_text(CODE)
    with pytest.raises(Inadmissible, match="runs only with the permission `code`"):
        load_model(manifest, tmp_path)
