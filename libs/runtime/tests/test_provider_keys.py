"""Keys of providers: only those in the operator's folder or list are available."""

import os
from pathlib import Path

import pytest

from modelyard_contracts.connections import Connection
from modelyard_runtime.provider_keys import KeyMissing, ProviderKeys
from modelyard_runtime.settings import ProviderSettings

ENVIRONMENT = {"LISTED_KEY": " listed ", "OTHER_KEY": "other", "EMPTY_KEY": ""}
CONNECTION = Connection(endpoint="https://a.example", secret="LISTED_KEY")


def test_a_file_wins_over_a_listed_variable_and_is_read_at_every_use(tmp_path: Path) -> None:
    keys = ProviderKeys(tmp_path, {"LISTED_KEY"}, ENVIRONMENT)
    assert keys.value("LISTED_KEY") == "listed"
    (tmp_path / "LISTED_KEY").write_text("from the file\n")
    assert keys.value("LISTED_KEY") == "from the file"


@pytest.mark.parametrize("name", ["OTHER_KEY", "EMPTY_KEY", "NO_KEY", "PATH"])
def test_a_variable_that_is_not_listed_is_never_handed_out(tmp_path: Path, name: str) -> None:
    for keys in (ProviderKeys(tmp_path, {"EMPTY_KEY"}, ENVIRONMENT), ProviderKeys()):
        with pytest.raises(KeyMissing, match=f"no key for the secret {name} here; write it to the file"):
            keys.value(name)


def test_a_connection_without_its_key_says_so(tmp_path: Path) -> None:
    known = ProviderKeys(tmp_path, {"LISTED_KEY"}, ENVIRONMENT).access("openai", 3, CONNECTION)
    assert (known.key, known.problem, known.revision) == ("listed", "", 3)
    missing = ProviderKeys(tmp_path).access("openai", 3, CONNECTION)
    assert (missing.key, missing.connection) == ("", CONNECTION) and "LISTED_KEY" in missing.problem
    open_one = ProviderKeys().access("local", 1, Connection(endpoint="https://a.example"))
    assert (open_one.key, open_one.problem) == ("", "")
    assert ProviderKeys().access("gone", 0, None).connection is None


def test_the_settings_name_a_folder_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEYS", "A_KEY, B_KEY")
    monkeypatch.setenv("PROVIDER_KEYS_DIR", str(tmp_path))
    found = ProviderSettings().provider_keys
    assert (found.folder, found.listed, found.environment) == (tmp_path, {"A_KEY", "B_KEY"}, os.environ)
