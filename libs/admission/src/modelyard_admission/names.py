"""Findings of file names that look like another name."""

import unicodedata
from collections.abc import Iterator

from modelyard_admission.notes import Note, Verdict


def name_notes(name: str) -> Iterator[Note]:
    """Invisible characters, letters of several alphabets in one name, and forms that normalise to another name."""
    if name.isascii() and name.isprintable():
        return
    shown = name.encode("ascii", "backslashreplace").decode()
    hidden = any(unicodedata.category(character)[0] == "C" for character in name)
    if hidden or unicodedata.normalize("NFKC", name) != name or len(_alphabets(name)) > 1:
        yield Note("deceptive-name", Verdict.MALICIOUS, f"has a name that looks like another one: {shown[:200]}")


def _alphabets(name: str) -> set[str]:
    """Latin, Greek and Cyrillic letters look alike; other alphabets are not confused with them."""
    named = {unicodedata.name(character, "").partition(" ")[0] for character in name if character.isalpha()}
    return named & {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE"}
