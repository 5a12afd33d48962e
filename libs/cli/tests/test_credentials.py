"""Keys and secrets of a local stack: private, separate, and given to their users only."""

import stat
from pathlib import Path

import pytest

from modelyard_cli.stack.credentials import SECRETS, CredentialFiles
from modelyard_cli.stack.layout import SERVICES, Layout, StackError
from modelyard_contracts.keyring import KeyRing
from modelyard_runtime.signing.files import open_signer

NAMES = tuple(spec.name for spec in SERVICES)


@pytest.fixture
def files(tmp_path: Path) -> CredentialFiles:
    Layout(tmp_path / "stack").prepare()
    return Layout(tmp_path / "stack").credentials


def test_every_service_has_a_key_and_every_secret_a_file_of_its_own(files: CredentialFiles) -> None:
    keys = {files.service_key(name).read_text() for name in NAMES} | {files.admin_key.read_text()}
    assert len(keys) == len(NAMES) + 1
    secrets = {KeyRing.parse(files.secret(name).read_text()).current.value for name in SECRETS}
    assert len(secrets) == len(SECRETS)


def test_only_the_owner_can_read_them(files: CredentialFiles) -> None:
    for path in files.root.rglob("*"):
        if path.suffix in {".key", ".keys"}:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(files.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(files.service_keys.stat().st_mode) == 0o700


def test_a_second_start_keeps_them(files: CredentialFiles) -> None:
    before = {path: path.read_text() for path in files.root.rglob("*.key*") if path.is_file()}
    Layout(files.root).prepare()
    assert {path: path.read_text() for path in before} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_process_gets_its_own_files_only(files: CredentialFiles, name: str) -> None:
    given = files.environment(name)
    assert given.pop("MODELYARD_SERVICE_KEY_FILE") == str(files.service_key(name))
    assert given.pop("MODELYARD_SIGNING_KEY_FILE") == str(files.signing(name))
    assert given.pop("MODELYARD_TRUST_FILE") == str(files.trust)
    expected = {variable for variable, users in SECRETS.values() if name in users}
    if name == "registry":
        expected |= {"MODELYARD_ADMIN_KEY_FILE", "REGISTRY_SERVICE_KEYS_DIR"}
    assert set(given) == expected


def test_every_service_signs_with_a_key_that_all_others_trust(files: CredentialFiles) -> None:
    for name in NAMES:
        assert open_signer(name, files.signing(name), files.trust) is not None
    rings = {files.signing(name).read_text() for name in NAMES}
    assert len(rings) == len(NAMES)
    assert not any(KeyRing.parse(ring).current.value in files.trust.read_text() for ring in rings)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"cannot write to .*; free disk space, or use another folder"):
        Layout(tmp_path / "file").prepare()
