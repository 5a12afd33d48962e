"""Damaged files are findings: never an exception, never a hang, and a cut file never passes."""

import gzip
import io
import lzma
import pickle
import random
from tarfile import TarInfo

import joblib
import numpy as np
import pytest
from libs.admission.tests import corpus

from modelyard_admission import Limits
from modelyard_admission.limits import Budget
from modelyard_admission.notes import Verdict, worst
from modelyard_admission.scanning import scan_content

FLIPS = 300
SIGNATURE_BYTES = 16
"""Fewer bytes may be a text, such as the `PK` of a zip archive."""


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6.0))
    return buffer.getvalue()


def _joblib() -> bytes:
    buffer = io.BytesIO()
    joblib.dump({"a": np.arange(3.0), "b": np.array(["x", None], dtype=object)}, buffer)
    return buffer.getvalue()


FILES: dict[str, bytes] = {
    "pickle": pickle.dumps({"a": [1, 2.5, "x"], "b": (None, True)}, 4),
    "old pickle": pickle.dumps({"a": [1, 2.5, "x"], "b": (None, True)}, 0),
    "joblib": _joblib(),
    "gzip": gzip.compress(pickle.dumps([1, 2])),
    "xz": lzma.compress(pickle.dumps([1, 2])),
    "npy": _npy(),
    "torch": corpus.torch_zip(b"\x80\x02}."),
    "skops": corpus.skops({"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {}}),
    "safetensors": corpus.safetensors({"a": corpus.tensor(0, 4), "b": corpus.tensor(4, 12)}, bytes(12)),
    "onnx": corpus.onnx(),
    "keras": corpus.keras({"class_name": "Dense", "config": {}}),
    "hdf5": corpus.hdf5({"class_name": "Dense", "config": {}}),
    "gguf": corpus.gguf("{{ messages }}"),
    "gguf of a model": corpus.gguf_model(),
    "tar": corpus.tarred(TarInfo("a.pkl"), pickle.dumps([1])),
    "xgboost": b"{L\0\0\0\0\0\0\0\x07learner{L\0\0\0\0\0\0\0\x01a[$d#L\0\0\0\0\0\0\0\x01\0\0\0\0}}",
    "hostile": corpus.SYSTEM,
}
CUT_FILES_NEVER_PASS = (
    "pickle",
    "joblib",
    "gzip",
    "xz",
    "npy",
    "torch",
    "skops",
    "safetensors",
    "onnx",
    "xgboost",
    "gguf of a model",
    "hostile",
)


def _verdict(data: bytes) -> Verdict:
    _, base, notes = scan_content(data, "file", Budget(Limits(seconds=30.0)), {})
    return worst([base, *(note.verdict for note in notes)])


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_byte_is_scanned_without_an_error(name: str) -> None:
    verdicts = [_verdict(FILES[name][:size]) for size in range(len(FILES[name]))]

    if name in CUT_FILES_NEVER_PASS:
        assert min(verdicts[SIGNATURE_BYTES:]) > Verdict.ALLOW_LISTED


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of literals in damaged headers
@pytest.mark.parametrize("name", FILES)
def test_a_file_with_any_byte_changed_is_scanned_without_an_error(name: str) -> None:
    chance = random.Random(name)
    for _ in range(FLIPS):
        damaged = bytearray(FILES[name])
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert _verdict(bytes(damaged)) in Verdict


def test_the_whole_files_pass() -> None:
    verdicts = {name: _verdict(data) for name, data in FILES.items() if name != "hostile"}

    assert {name for name, verdict in verdicts.items() if verdict > Verdict.ALLOW_LISTED} == set()
