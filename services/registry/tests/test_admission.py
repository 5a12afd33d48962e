"""A version is registered only when the scan of its files admits it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelyard import ApiError, RegistryClient, VersionInfo
from modelyard_contracts import ResourceChange, VersionStage
from modelyard_contracts.admission import ScanVerdict
from modelyard_contracts.manifest import Permissions
from modelyard_registry.usecases.admission import scan_outdated

from .conftest import World, manifest_of

V = ScanVerdict
CODE = Permissions(code=True, reason="the author's own preprocessing")


def pending(world: World, data: bytes, *, client: RegistryClient | None = None, **more: Any) -> VersionInfo:
    world.client.create_model("elec")
    world.client.put_blob(data)
    manifest = manifest_of("elec", m=data).model_copy(update=more)
    return (client or world.client).create_version(manifest, idempotency_key=str(data))


def finalized(world: World, data: bytes, **more: Any) -> VersionInfo:
    version = pending(world, data, **more)
    return world.client.finalize_version("elec", version.version)


@pytest.mark.parametrize("verdict", [V.SAFE_FORMAT, V.ALLOW_LISTED])
def test_a_version_that_passes_is_registered_with_its_report(world: World, verdict: ScanVerdict) -> None:
    world.rules.verdicts[b"data"] = verdict
    version = finalized(world, b"data")
    assert (version.stage, version.scan_verdict, version.scan_rules) == (VersionStage.REGISTERED, verdict, "1")
    scan = world.client.scan("elec", 1)
    assert [(file.path, file.verdict) for file in scan.report.files] == [("m", verdict)]
    assert scan.current


@pytest.mark.parametrize("verdict", [V.MALICIOUS, V.INCOMPLETE])
def test_a_version_that_the_scan_refuses_is_rejected_with_its_findings(world: World, verdict: ScanVerdict) -> None:
    world.rules.verdicts[b"bad"] = verdict
    with pytest.raises(ApiError, match=r"m: names os.system \[test-rule\]") as refused:
        finalized(world, b"bad", permissions=CODE)
    assert (refused.value.status, refused.value.code, refused.value.field) == (422, "inadmissible", "manifest.files")
    assert refused.value.body["findings"][0]["file"] == "m"
    assert refused.value.body["findings"][0]["rule"] == "test-rule"
    assert refused.value.body["remedy"] == "save it as safetensors"
    assert world.client.version("elec", 1).stage is VersionStage.REJECTED
    moved = world.queued()[-1]
    assert (moved.change, moved.previous_stage, moved.stage) == ("version_moved", "pending", "rejected")
    assert "names os.system" in moved.reason
    assert world.client.history("elec")[-1].reason == moved.reason


def test_a_repeat_gives_the_same_refusal_and_changes_nothing(on_sqlite: World) -> None:
    on_sqlite.rules.verdicts[b"bad"] = V.MALICIOUS
    version = pending(on_sqlite, b"bad")
    refusals = []
    for _ in range(2):
        with pytest.raises(ApiError) as refused:
            on_sqlite.client.finalize_version("elec", version.version)
        refusals.append(refused.value.body)
    assert refusals[0] == refusals[1]
    assert on_sqlite.rules.scans == 1
    assert len([event for event in on_sqlite.queued() if event.version == 1]) == 1


def test_no_decision_approves_a_version_that_the_scan_refused(on_sqlite: World) -> None:
    on_sqlite.rules.verdicts[b"bad"] = V.MALICIOUS
    with pytest.raises(ApiError):
        finalized(on_sqlite, b"bad")
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.approve("elec", 1, "I know better")
    assert refused.value.code == "inadmissible"
    on_sqlite.rules.verdicts[b"bad"] = V.ALLOW_LISTED
    assert on_sqlite.client.scan_now("elec", 1).report.verdict is V.ALLOW_LISTED
    assert on_sqlite.client.approve("elec", 1, "the new rules know this class").stage is VersionStage.APPROVED


def test_two_calls_at_a_time_register_once(world: World) -> None:
    version = pending(world, b"data")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: world.client.finalize_version("elec", version.version), range(2)))
    assert [one.stage for one in found] == [VersionStage.REGISTERED] * 2
    registered = [event for event in world.queued() if event.change is ResourceChange.VERSION_REGISTERED]
    assert len(registered) == 1


def test_suspicious_code_needs_the_permission_in_the_manifest(on_sqlite: World) -> None:
    on_sqlite.rules.verdicts[b"code"] = V.SUSPICIOUS
    with pytest.raises(ApiError, match="suspicious") as refused:
        finalized(on_sqlite, b"code")
    assert refused.value.code == "inadmissible"
    assert on_sqlite.client.version("elec", 1).stage is VersionStage.PENDING


@pytest.mark.parametrize(
    ("flavour", "asks", "field"),
    [("container", Permissions(network=True, reason="r"), "code"), ("external-api", CODE, "network")],
)
def test_a_model_that_is_not_in_the_files_must_ask_for_its_permission(
    on_sqlite: World, flavour: str, asks: Permissions, field: str
) -> None:
    with pytest.raises(ApiError, match="ask for this permission") as refused:
        pending(on_sqlite, b"reference", flavour=flavour, permissions=asks)
    assert (refused.value.status, refused.value.field) == (422, f"manifest.permissions.{field}")


@pytest.mark.parametrize("asks", [CODE, Permissions(network=True, reason="looks prices up")])
def test_a_developer_asks_for_a_permission_and_a_reviewer_grants_it(world: World, asks: Permissions) -> None:
    world.rules.verdicts[b"code"] = V.SUSPICIOUS if asks.code else V.SAFE_FORMAT
    developer = world.client_with(world.key("developer", name="dev"))
    version = pending(world, b"code", client=developer, permissions=asks)
    with pytest.raises(ApiError, match="no role that may allow it has done so") as refused:
        developer.finalize_version("elec", version.version)
    assert (refused.value.status, refused.value.code) == (422, "permission_not_granted")
    with pytest.raises(ApiError) as forbidden:
        developer.allow_code("elec", version.version, "let me")
    assert forbidden.value.status == 403
    reviewer = world.client_with(world.key("reviewer", name="rev"))
    reviewer.allow_code("elec", version.version, "I read predict.py")
    assert developer.finalize_version("elec", version.version).stage is VersionStage.REGISTERED
    granted = [line for line in world.client.history("elec") if line.change == "permissions_allowed"]
    assert [(line.actor, line.reason, line.version) for line in granted] == [("rev", "I read predict.py", 1)]


def test_an_admin_who_registers_grants_with_the_reason_of_the_manifest(on_sqlite: World) -> None:
    on_sqlite.rules.verdicts[b"code"] = V.SUSPICIOUS
    assert finalized(on_sqlite, b"code", permissions=CODE).stage is VersionStage.REGISTERED
    line = next(line for line in on_sqlite.client.history("elec") if line.change == "permissions_allowed")
    assert (line.reason, line.detail) == (CODE.reason, {"permissions": ["code"]})


def test_a_permission_without_a_reason_is_refused(on_sqlite: World) -> None:
    with pytest.raises(ApiError) as refused:
        finalized(on_sqlite, b"data", permissions=Permissions(network=True))
    assert refused.value.field == "manifest.permissions.reason"
    with pytest.raises(ApiError) as nothing:
        on_sqlite.client.allow_code("elec", pending(on_sqlite, b"plain").version, "why not")
    assert nothing.value.code == "nothing_to_allow"


def rescan(world: World) -> int:
    return scan_outdated(world.registry.deps, budget_s=60, actor="registry")


def test_new_rules_scan_registered_versions_again_and_reject_what_is_malicious_now(world: World) -> None:
    version = world.given_version(VersionStage.APPROVED)
    assert rescan(world) == 0
    world.rules.rules_version = "2"
    world.rules.verdicts[b"bytes 1"] = V.MALICIOUS
    assert rescan(world) == 1
    found = world.again(version)
    assert (found.stage, found.scan_verdict, found.scan_rules) == (VersionStage.REJECTED, V.MALICIOUS, "2")
    line = world.client.history("elec")[-2]
    assert (line.change, line.detail["before"], line.detail["verdict"]) == (
        "version_scanned",
        "safe_format",
        "malicious",
    )
    assert world.queued()[-1].stage is VersionStage.REJECTED
    assert rescan(world) == 0


def test_a_version_that_serves_is_marked_and_stays(world: World) -> None:
    version = world.given_version(VersionStage.LIVE)
    world.rules.verdicts[b"bytes 1"] = V.MALICIOUS
    world.client.scan_now("elec", 1)
    found = world.again(version)
    assert (found.stage, found.scan_verdict) == (VersionStage.LIVE, V.MALICIOUS)
    assert found.tags == {"scan.verdict": "malicious"}
    assert [one.tags for one in world.client.versions("elec")] == [{"scan.verdict": "malicious"}]
    event = world.queued()[-1]
    assert (event.change, event.tags) == (ResourceChange.TAGS_CHANGED, {"scan.verdict": "malicious"})
    world.rules.verdicts.clear()
    world.client.scan_now("elec", 1)
    assert world.again(version).tags == {}


def test_versions_that_serve_are_scanned_first(on_sqlite: World) -> None:
    on_sqlite.given_version(VersionStage.LIVE)
    on_sqlite.given_version(VersionStage.APPROVED)
    on_sqlite.rules.rules_version = "2"
    with on_sqlite.registry.deps.storage.read() as records:
        assert [number for _, number in records.scans.outdated("2", 10)] == [1, 2]
    assert scan_outdated(on_sqlite.registry.deps, budget_s=0, actor="registry") == 0


def test_a_rescan_of_missing_bytes_is_incomplete_and_never_clean(on_sqlite: World) -> None:
    version = on_sqlite.given_version(VersionStage.APPROVED)
    entry = on_sqlite.client.manifest("elec", 1).files[0]
    on_sqlite.blob_file(entry.digest).unlink()
    on_sqlite.client.scan_now("elec", 1)
    assert on_sqlite.again(version).scan_verdict is V.INCOMPLETE


def test_the_scan_sees_the_files_by_their_paths_and_leaves_nothing(on_sqlite: World, tmp_path: Path) -> None:
    blobs = on_sqlite.registry.blobs
    on_sqlite.client.put_blob(b"nested")
    entry = manifest_of("elec", **{"a/b.txt": b"nested"}).files[0]
    with blobs.laid_out([entry]) as folder:
        assert (folder / "a" / "b.txt").read_bytes() == b"nested"
        assert not (folder / "a" / "b.txt").is_symlink()
    assert not folder.exists()


def test_a_pending_version_has_no_scan(on_sqlite: World) -> None:
    pending(on_sqlite, b"data")
    for call in (on_sqlite.client.scan, on_sqlite.client.scan_now):
        with pytest.raises(ApiError) as refused:
            call("elec", 1)
        assert refused.value.code == "not_scanned"
