"""The report of the demo of models made elsewhere: what must add up."""

from typing import Any

import pytest

from modelyard_cli.demo_own.cases import CASES
from modelyard_cli.demo_own.command import chosen
from modelyard_cli.demo_own.making.tables import bad
from modelyard_cli.demo_own.report import Report, faults
from modelyard_cli.stack.layout import StackError


def a_report(**changes: Any) -> Report:
    """A report in which everything adds up; changes: of the model that drifts."""
    models = [
        {
            "name": case.name,
            "verdict": "deploy",
            "answers_equal": True,
            "predictions_sent": 300,
            "predictions_stored": 300,
            "drift_detected": bool(case.shifted),
            "digest_in_answers": True,
            **(changes if case.shifted else {}),
        }
        for case in CASES
    ]
    refused = [{"file": "model.pkl", "finding": "imports os.system"}]
    return {"models": models, "refused": refused, "rollback_seconds": 0.4, "wall_seconds": 200.0}


def test_a_report_that_adds_up_has_no_fault() -> None:
    assert faults(a_report(), CASES) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"predictions_stored": 299}, "300 rows sent, 299 stored"),
        ({"drift_detected": False}, "no drift was detected"),
        ({"digest_in_answers": False}, "another digest"),
        ({"answers_equal": False}, "differ from the recorded ones"),
        ({"verdict": "reject"}, "the verdict is reject"),
    ],
)
def test_a_count_that_does_not_add_up_is_a_fault(changes: dict[str, Any], fault: str) -> None:
    [found] = faults(a_report(**changes), CASES)
    assert found.startswith("own-diabetes: ") and fault in found


def test_a_missing_model_refusal_or_rollback_is_a_fault() -> None:
    report = a_report()
    incomplete = {**report, "models": report["models"][1:], "refused": [], "rollback_seconds": None}
    assert faults(incomplete, CASES) == [
        "own-cancer was not served",
        "no malicious file was refused",
        "no version was rolled back",
    ]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(StackError, match="own-cancer, own-diabetes"):
        chosen(["own-nothing"])


def test_the_bad_pickle_is_malicious(tmp_path: Any) -> None:
    from modelyard_cli.own.scanning import scanned

    bad(tmp_path)
    assert scanned(tmp_path / "model.pkl").verdict == "malicious"
