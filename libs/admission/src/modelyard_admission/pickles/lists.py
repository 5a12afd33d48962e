"""Verdict of a global by lists that live here, never in an artifact.

Allowed: exact names only, as a prefix also matches what a package never meant to be called (`numpy.testing` runs
strings). Denied: modules and names that run code, open files or reach other modules. Everything else is suspicious.
"""

from functools import cache
from importlib.resources import files

from modelyard_admission.notes import Verdict
from modelyard_admission.pickles.values import Name


@cache
def allowed_names() -> dict[str, frozenset[str]]:
    """Exact names by module, from the files in `allowed`: `module: Name Name ...` on each line."""
    folder = files("modelyard_admission.pickles") / "allowed"
    return _read([file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".txt")])


@cache
def denied() -> dict[str, frozenset[str]]:
    """`modules`, `names` and `parts` of denied.txt, which explains them."""
    return _read([(files("modelyard_admission.pickles") / "denied.txt").read_text("utf-8")])


def _read(texts: list[str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in "\n".join(texts).splitlines():
        key, separator, names = line.partition(": ")
        if separator and not line.startswith("#"):
            found[key] = found.get(key, frozenset()) | frozenset(names.split())
    return found


def judge(name: Name) -> Verdict:
    """ALLOW_LISTED, SUSPICIOUS or MALICIOUS."""
    if name.name in allowed_names().get(name.module, ()):
        return Verdict.ALLOW_LISTED
    parts = name.full.split(".")
    prefixes = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    on_the_way = set(name.name.split(".")[:-1])  # as in `sklearn.utils` with the name `os.system`
    lists = denied()
    if (prefixes | on_the_way) & lists["modules"] or name.full in lists["names"] or set(parts) & lists["parts"]:
        return Verdict.MALICIOUS
    return Verdict.SUSPICIOUS
