"""Keys and tokens that the deployer reads at its start."""

from pathlib import Path

import pytest

from modelyard_contracts.keyring import KeyRing
from modelyard_deployer.settings import Settings, serving_tokens
from modelyard_runtime.errors import StartupError


def key_file(folder: Path, name: str, text: str = "a-key-of-the-tests-alone") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_service_key_and_a_key_ring_are_enough(tmp_path: Path) -> None:
    ring = KeyRing.fresh()
    settings = Settings(
        service_key_file=key_file(tmp_path, "deployer.key"),
        serving_token_file=key_file(tmp_path, "serving.keys", ring.text()),
    )
    settings.check_files()
    tokens = serving_tokens(settings)
    assert tokens.current() == ring.current.value
    copy = tmp_path / "replicas" / "serving-tokens"
    assert tokens.environment(tmp_path / "replicas") == {"SERVING_TOKEN_FILE": str(copy)}
    assert copy.read_text() == ring.text()


def test_a_key_ring_replaces_the_token_derived_from_the_admin_key(tmp_path: Path) -> None:
    admin = key_file(tmp_path, "admin.key")
    derived = serving_tokens(Settings(admin_key_file=admin))
    assert derived.environment(tmp_path / "replicas") == {"MODELYARD_SERVING_TOKEN": derived.current()}
    ring = key_file(tmp_path, "serving.keys", KeyRing.fresh().text())
    both = serving_tokens(Settings(admin_key_file=admin, serving_token_file=ring))
    assert derived.current() not in (both.fixed, both.current())
    assert list(both.environment(tmp_path / "replicas")) == ["SERVING_TOKEN_FILE"]


def test_a_start_without_a_serving_token_names_the_setting(tmp_path: Path) -> None:
    settings = Settings(service_key_file=key_file(tmp_path, "deployer.key"))
    with pytest.raises(StartupError, match="SERVING_TOKEN_FILE: required"):
        settings.check_files()
    with pytest.raises(StartupError, match="SERVING_TOKEN_FILE: cannot read"):
        Settings(service_key_file=settings.service_key_file, serving_token_file=tmp_path / "none").check_files()
