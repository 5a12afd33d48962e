"""Versions vote only if one request fits all of them."""

from typing import Any

import pytest

from modelyard_contracts.manifest import ManifestFile, signed
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_deployer.domain.membership import why_not
from modelyard_deployer.domain.routes import Version

from .conftest import MODEL, a_manifest

AGE, PLAN = Column(name="age"), Column(name="plan", type=ColumnType.CATEGORY)


def version(number: int, *columns: Column, **changes: Any) -> Version:
    output = Output(task=Task.BINARY, classes=("no", "yes"))
    signature = Signature(columns=columns, output=output, **changes)
    manifest = a_manifest(version=number).model_copy(update=signed(signature))
    return Version(MODEL, number, "approved", ManifestFile.write(manifest))


CHAMPION = version(1, AGE, PLAN)


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (version(2, AGE), "it does not take plan"),
        (version(2, AGE, PLAN, Column(name="income"), Column(name="tenure")), "it needs income, tenure"),
        (version(2, AGE, Column(name="Plan", type=ColumnType.CATEGORY)), "it needs Plan; it does not take plan"),
        (version(2, AGE, Column(name="plan")), "plan is number, not category"),
        (version(2, Column(name="age", nullable=False), PLAN), "age must not be null"),
    ],
)
def test_a_version_with_other_inputs_is_no_member_and_the_reason_names_them(member: Version, reason: str) -> None:
    assert why_not(member, CHAMPION) == f"it cannot answer the requests of version 1: {reason}"


def test_order_units_and_inputs_that_may_be_null_do_not_matter() -> None:
    wider = version(2, PLAN, Column(name="age", unit="years"))
    assert why_not(wider, CHAMPION) == ""
    assert why_not(CHAMPION, version(3, Column(name="age", nullable=False), PLAN)) == ""


def test_a_reason_stays_short_with_many_columns() -> None:
    many = version(2, *(Column(name=f"c{n:03}") for n in range(900)))
    assert why_not(many, CHAMPION) == (
        "it cannot answer the requests of version 1: it needs c000, c001, c002, c003, c004 and 895 more; "
        "it does not take age, plan"
    )
