"""The scanner of the platform, on real files through the API."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import ApiError, RegistryClient
from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanVerdict
from modelyard_registry.scanning import IsolatedScanner
from modelyard_registry.testing import InProcessRegistry

from .conftest import manifest_of


class Evil:
    """Pickled only: nothing here is ever loaded."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("echo owned",)


@pytest.fixture
def client(tmp_path: Path) -> Any:
    with InProcessRegistry(tmp_path / "registry", scanner=IsolatedScanner()) as registry:
        client = RegistryClient("http://registry", registry.admin_key, transport=registry.transport)
        client.create_model("elec")
        yield client


def finalize(client: RegistryClient, data: bytes) -> Any:
    client.put_blob(data)
    version = client.create_version(manifest_of("elec", model=data), idempotency_key=str(hash(data)))
    return client.finalize_version("elec", version.version)


def npz(tmp_path: Path, *last: float) -> bytes:
    path = tmp_path / f"{last}.npz"
    np.savez(path, body=np.arange(1_000.0), head=np.array(last))
    return path.read_bytes()


def test_a_hostile_pickle_is_rejected_with_the_name_that_it_calls(client: RegistryClient) -> None:
    with pytest.raises(ApiError, match="system") as refused:
        finalize(client, pickle.dumps(Evil()))
    assert (refused.value.code, refused.value.body["verdict"]) == ("inadmissible", "malicious")
    assert client.version("elec", 1).stage is VersionStage.REJECTED


def test_arrays_are_admitted_and_compared_by_tensor(client: RegistryClient, tmp_path: Path) -> None:
    assert finalize(client, npz(tmp_path, 1.0)).scan_verdict is ScanVerdict.SAFE_FORMAT
    second = finalize(client, npz(tmp_path, 2.0))
    assert second.resembles == ("more than 99% of the tensor bytes of elec@1, differs in head",)
    tensors = client.diff("elec", 1, 2).tensors
    assert tensors is not None and [group.prefix for group in tensors.differing] == ["head"]
