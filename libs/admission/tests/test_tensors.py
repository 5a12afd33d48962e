"""Digests of tensors do not depend on the container, the order or the layout."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modelyard_admission import resemblance, tensor_digests

torch = pytest.importorskip("torch")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

ARRAYS: dict[str, NDArray[Any]] = {
    "body.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "body.bias": np.array([1, -2, 3], dtype=np.int64),
    "head.scale": np.array([0.5], dtype=np.float16),
}


def _as_npz(path: Path) -> None:
    np.savez(path, allow_pickle=False, **{name: np.asfortranarray(array) for name, array in reversed(ARRAYS.items())})


def _as_big_endian(path: Path) -> None:
    big = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in ARRAYS.items()}
    np.savez_compressed(path, allow_pickle=False, **big)


def _as_torch(path: Path) -> None:
    torch.save({name: torch.tensor(array) for name, array in ARRAYS.items()}, path)


def _as_views(path: Path) -> None:
    """Transposed and offset views of other storages."""
    torch.save({name: _offset_and_transposed(torch.tensor(array)) for name, array in ARRAYS.items()}, path)


def _offset_and_transposed(tensor: Any) -> Any:
    storage = torch.cat([torch.zeros(1, dtype=tensor.dtype), tensor.mT.flatten() if tensor.ndim > 1 else tensor])
    return storage[1:].reshape(tensor.shape[::-1]).permute(*range(tensor.ndim)[::-1])


def _as_old_torch(path: Path) -> None:
    torch.save(
        {name: torch.tensor(array) for name, array in ARRAYS.items()}, path, _use_new_zipfile_serialization=False
    )


def _as_onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in ARRAYS.items()]
    typed = onnx.helper.make_tensor("body.bias", onnx.TensorProto.INT64, [3], [1, -2, 3])
    others = [tensor for tensor in tensors if tensor.name != typed.name]
    graph = onnx.helper.make_graph([], "g", [], [], [typed, *others])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("save", [_as_npz, _as_big_endian, _as_torch, _as_views, _as_old_torch, _as_onnx])
def test_a_model_has_the_same_digests_in_every_container(tmp_path: Path, save: Callable[[Path], None]) -> None:
    safetensors_numpy.save_file(ARRAYS, tmp_path / "model.safetensors")
    expected = tensor_digests(tmp_path / "model.safetensors")

    other = tmp_path / "model.npz"
    save(other)

    assert tensor_digests(other) == expected
    assert [(tensor.name, tensor.dtype, tensor.shape, tensor.size_bytes) for tensor in expected] == [
        ("body.bias", "int64", (3,), 24),
        ("body.weight", "float32", (3, 4), 48),
        ("head.scale", "float16", (1,), 2),
    ]


def test_an_exported_program_has_the_digests_of_its_state_dict(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3),)), tmp_path / "network.pt2")
    torch.save(network.state_dict(), tmp_path / "state.pt")

    assert tensor_digests(tmp_path / "network.pt2") == tensor_digests(tmp_path / "state.pt") != ()


def test_digests_differ_when_a_value_the_type_or_the_shape_differs(tmp_path: Path) -> None:
    versions = [np.zeros((2, 3), "<f4"), np.ones((2, 3), "<f4"), np.zeros((3, 2), "<f4"), np.zeros((2, 3), "<i4")]
    for number, array in enumerate(versions):
        np.save(tmp_path / f"{number}.npy", array)

    assert len({tensor.digest for tensor in tensor_digests(tmp_path)}) == 4


def test_resemblance_is_the_share_of_equal_bytes_and_names_what_differs(tmp_path: Path) -> None:
    body = {f"body.{layer}": np.full(100, layer, np.float32) for layer in range(4)}
    heads = (
        {"head.w": np.zeros(50, np.float32), "head.b": np.zeros(50, np.float32)},
        {"head.w": np.ones(100, np.float32)},
    )
    for number, head in enumerate(heads):
        safetensors_numpy.save_file({**body, **head}, tmp_path / f"{number}.safetensors")
    first, second = (tensor_digests(tmp_path / f"{number}.safetensors") for number in range(2))

    found = resemblance(first, second)

    assert found.share == pytest.approx(0.8)
    assert (found.changed, found.only_first, found.only_second) == (("head.w",), ("head.b",), ())
    assert found.groups == ("head.*",)
    assert found.described == "80 % of the bytes are equal; differs in head.*"


def test_the_same_tensors_under_other_names_are_identical(tmp_path: Path) -> None:
    for prefix in ("a", "b"):
        np.savez(
            tmp_path / f"{prefix}.npz",
            allow_pickle=False,
            **{f"{prefix}{name}": array for name, array in ARRAYS.items()},
        )

    assert resemblance(tensor_digests(tmp_path / "a.npz"), tensor_digests(tmp_path / "b.npz")).identical


def test_models_without_tensors_resemble_nothing() -> None:
    assert resemblance((), ()).share == 0.0
    assert not resemblance((), ()).identical
