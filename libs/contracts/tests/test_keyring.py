"""Key rings: the first secret is used, the others are accepted, a change of the file is seen."""

from pathlib import Path

import pytest

from modelyard_contracts import reloading
from modelyard_contracts.keyring import InvalidKeyRing, KeyRing, KeyRingFile

OLD, NEW = "an-old-secret-of-some-length", "a-new-secret-of-some-length"


def test_the_first_secret_is_current_and_all_are_accepted() -> None:
    ring = KeyRing.parse(f"# entity hashing\n2:{NEW}\n\n1:{OLD}\n")
    assert (ring.current.id, ring.current.value) == ("2", NEW)
    assert ring.accepts(OLD)
    assert ring.accepts(NEW)
    assert not ring.accepts("another")
    assert ring.find("1") is not None
    assert ring.find("3") is None
    assert KeyRing.parse(ring.text()) == ring


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no secret"),
        ("just-a-secret-without-an-id", "line 1: must be `id:secret`"),
        ("1:short", "line 1: the secret 1 is shorter than 16"),
        (f"1:{OLD}\n1:{NEW}", "same id"),
        (f"ID:{OLD}", "lower-case"),
    ],
)
def test_a_file_that_cannot_be_used_names_the_line(text: str, problem: str) -> None:
    with pytest.raises(InvalidKeyRing, match=problem):
        KeyRing.parse(text)


def test_a_rotation_adds_then_promotes_then_drops() -> None:
    ring = KeyRing.fresh()
    added = ring.with_new()
    assert added.current == ring.current
    promoted = added.with_current(added.secrets[-1].id)
    assert promoted.current == added.secrets[-1]
    assert promoted.accepts(ring.current.value)
    dropped = promoted.only(1)
    assert not dropped.accepts(ring.current.value)
    assert len({secret.id for secret in dropped.with_new()}) == 2


def test_no_secret_is_shown_by_repr() -> None:
    assert OLD not in repr(KeyRing.parse(f"1:{OLD}"))


def test_signatures_depend_on_secret_data_and_purpose() -> None:
    first, second = KeyRing.fresh(2)
    assert first.sign(b"x") == first.sign(b"x")
    assert len({first.sign(b"x"), first.sign(b"y"), second.sign(b"x"), first.sign(b"x", "keys")}) == 4


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "RELOAD_S", 0.0)
    path = tmp_path / "ring"
    path.write_text(f"1:{OLD}\n")
    file = KeyRingFile(path)
    assert file.ring.current.id == "1"
    draft = tmp_path / "draft"
    draft.write_text(f"2:{NEW}\n1:{OLD}\n")
    draft.replace(path)
    assert file.ring.current.id == "2"
    path.write_text("broken")
    assert file.ring.current.id == "2", "the last usable ring stays in use"
