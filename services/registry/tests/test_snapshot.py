"""The snapshot of known vulnerabilities: used at admission and at re-scans, with its age; never clean without it."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelyard import ApiError, RegistryClient
from modelyard_contracts.admission import DependencyScan, ScanVerdict
from modelyard_contracts.manifest import Permissions
from modelyard_registry.scanning import IsolatedScanner, OsvSnapshot
from modelyard_registry.testing import InProcessRegistry
from modelyard_registry.usecases.admission import scan_outdated

from .conftest import manifest_of

PINS = b"some-package==1.9\n"
AT = datetime(2026, 11, 29, tzinfo=UTC)


def snapshot_at(path: Path, affected: str, modified: str = "2026-11-20T08:00:00Z") -> Path:
    """A zip file with one record; the file is renamed into its place, as an operator does it."""
    events = [{"introduced": "0"}, {"fixed": "2.0"}]
    package = {"ecosystem": "PyPI", "name": affected}
    record = {"id": "PYSEC-2026-1", "summary": "reads too much", "modified": modified}
    record["affected"] = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]  # type: ignore[assignment]
    with zipfile.ZipFile(path.with_suffix(".new"), "w") as archive:
        archive.writestr("PYSEC-2026-1.json", json.dumps(record))
    return path.with_suffix(".new").replace(path)


def registered(client: RegistryClient, *, code: bool = False) -> None:
    client.create_model("elec")
    files = {"requirements.txt": PINS}
    made = manifest_of("elec", **files)
    made = made.model_copy(update={"permissions": Permissions(code=code, reason="reviewed" if code else "")})
    client.put_blob(PINS)
    client.finalize_version("elec", client.create_version(made, idempotency_key="k").version)


def dependencies(client: RegistryClient) -> DependencyScan:
    found = client.scan("elec", 1).report.dependencies
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["none", "missing", "damaged", "empty"])
def test_without_a_usable_snapshot_dependencies_are_incomplete_and_nothing_is_blocked(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "all.zip"
    if kind == "damaged":
        path.write_bytes(b"PK\x03\x04 no zip")
    if kind == "empty":
        zipfile.ZipFile(path, "w").close()
    snapshot = OsvSnapshot(None if kind == "none" else path)
    with InProcessRegistry(tmp_path / "r", scanner=IsolatedScanner(snapshot)) as opened:
        client = RegistryClient("http://registry", opened.admin_key, timeout_s=120, transport=opened.transport)
        registered(client)
        found = dependencies(client)
        assert (found.state, found.snapshot_at, found.checked) == ("incomplete", None, 0)
        assert "incomplete: not compared with known vulnerabilities" in client.card("elec", 1)
        assert client.scan("elec", 1).current
    assert "not compared with known vulnerabilities" in snapshot.described(AT)


def test_a_vulnerable_dependency_is_found_at_admission(tmp_path: Path) -> None:
    snapshot = OsvSnapshot(snapshot_at(tmp_path / "all.zip", "some-package"))
    with InProcessRegistry(tmp_path / "r", scanner=IsolatedScanner(snapshot)) as opened:
        client = RegistryClient("http://registry", opened.admin_key, timeout_s=120, transport=opened.transport)
        with pytest.raises(ApiError) as refused:
            registered(client)
        assert (refused.value.code, refused.value.body["findings"][0]["rule"]) == (
            "inadmissible",
            "vulnerable-dependency",
        )
    assert snapshot.described(AT) == "snapshot of 2026-11-20, 8 days old"


def test_a_newer_snapshot_has_versions_with_dependencies_scanned_again(tmp_path: Path) -> None:
    path = snapshot_at(tmp_path / "all.zip", "another-package")
    with InProcessRegistry(tmp_path / "r", scanner=IsolatedScanner(OsvSnapshot(path))) as opened:
        client = RegistryClient("http://registry", opened.admin_key, timeout_s=120, transport=opened.transport)
        registered(client)
        assert dependencies(client).state == "clean"
        assert "clean: 1 compared with the snapshot of 2026-11-20" in client.card("elec", 1)
        deps = opened.registry.deps
        assert scan_outdated(deps, budget_s=60, actor="registry") == 0
        snapshot_at(path, "some-package", "2026-11-28T08:00:00Z")
        assert not client.scan("elec", 1).current
        assert scan_outdated(deps, budget_s=60, actor="registry") == 1
        found = dependencies(client)
        assert (found.state, found.vulnerabilities[0].id) == ("vulnerable", "PYSEC-2026-1")
        assert client.version("elec", 1).scan_verdict is ScanVerdict.SUSPICIOUS
        assert client.scan("elec", 1).current and scan_outdated(deps, budget_s=60, actor="registry") == 0


def test_a_version_without_dependencies_is_not_scanned_again_for_a_snapshot(tmp_path: Path) -> None:
    path = snapshot_at(tmp_path / "all.zip", "another-package")
    with InProcessRegistry(tmp_path / "r", scanner=IsolatedScanner(OsvSnapshot(path))) as opened:
        client = RegistryClient("http://registry", opened.admin_key, timeout_s=120, transport=opened.transport)
        client.create_model("elec")
        client.put_blob(b'{"a": 1}')
        made = client.create_version(manifest_of("elec", **{"m.json": b'{"a": 1}'}), idempotency_key="k")
        client.finalize_version("elec", made.version)
        snapshot_at(path, "some-package", "2026-11-28T08:00:00Z")
        assert client.scan("elec", 1).current
        assert scan_outdated(opened.registry.deps, budget_s=60, actor="registry") == 0
