"""Tables and examples of the documentation agree with the code."""

import json
import re
from pathlib import Path

import pytest

from modelyard_cli.stack.credentials import SECRETS
from modelyard_contracts.documents import read
from modelyard_contracts.routes import RouteSpec, walk
from modelyard_contracts.signature import ColumnType, Task
from modelyard_runtime.access.grants import ROLES, SCOPES, SERVICE_ROLES

DOCS = Path(__file__).parents[2] / "docs"
SPECIFICATIONS = re.findall(r"^```json root\n(.*?)^```", (DOCS / "routes.md").read_text(), re.DOTALL | re.MULTILINE)


def first_cells(page: str, header: str) -> set[str]:
    """Names in the first column of the table with this header cell."""
    table = re.search(rf"^\| {header} \|.*\n\|[-|]+\n((?:\|.*\n)+)", (DOCS / page).read_text(), re.MULTILINE)
    assert table, header
    return set(re.findall(r"^\| `([^`]+)` \|", table[1], re.MULTILINE))


def test_all_roles_scopes_and_secrets_are_documented() -> None:
    assert first_cells("security.md", "role") == set(ROLES)
    assert first_cells("security.md", "scope") == set(SCOPES)
    text = (DOCS / "security.md").read_text()
    assert {role for role in SERVICE_ROLES if f"`{role}`" not in text} == set()
    assert {name for name, _ in SECRETS.values() if f"`{name}`" not in text} == set()


def test_all_column_types_and_tasks_are_documented() -> None:
    assert first_cells("signatures.md", "type") == {str(each) for each in ColumnType}
    assert first_cells("signatures.md", "task") == {str(each) for each in Task}


@pytest.mark.parametrize("root", SPECIFICATIONS)
def test_an_example_of_a_route_is_valid(root: str) -> None:
    spec = {"schema_version": 1, "min_release": "0.2", "root": json.loads(root)}
    assert next(place for place, _ in walk(read(RouteSpec, json.dumps(spec)).root)) == "root"


def test_every_node_has_an_example() -> None:
    kinds = {json.loads(root)["kind"] for root in SPECIFICATIONS}
    assert kinds == {"model", "version", "split", "rules", "fallback", "shadow", "ensemble"}
