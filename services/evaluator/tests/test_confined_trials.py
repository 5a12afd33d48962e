"""A trial in a real process: an author's rules are loaded from their files and answer their example."""

from pathlib import Path

import pytest

from modelyard_contracts.documents import write
from modelyard_contracts.example import EXAMPLE_FILE, Example, ExampleAnswer
from modelyard_contracts.manifest import (
    FileEntry,
    ManifestFile,
    ModelManifest,
    Permissions,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_evaluator.domain.trial import TrialOutcome, judge_trial
from modelyard_evaluator.scoring.trials import ConfinedTrials
from modelyard_serving.trial import TrialLimits

RULES = b"def predict(rows):\n    return ['high' if row['n'] > 2 else 'low' for row in rows]\n"
BROKEN = b"def predict(rows):\n    return [row['missing'] for row in rows]\n"
LEVELS = Signature(columns=(Column(name="n"),), output=Output(task=Task.BINARY, classes=("low", "high")))

pytestmark = pytest.mark.slow


def version(folder: Path, code: bytes, answers: tuple[str, ...]) -> Path:
    """A version with rules and two example rows, n = 1 and n = 3."""
    example = Example(rows=({"n": 1}, {"n": 3}), answers=tuple(ExampleAnswer(label=label) for label in answers))
    files = {"predict.py": code, EXAMPLE_FILE: write(example)}
    manifest = ModelManifest(
        model="rules",
        flavour="python",
        files=tuple(FileEntry(path=path, digest=digest_of(it), size_bytes=len(it)) for path, it in files.items()),
        **signed(LEVELS),
        training=TrainingLineage(recipe="elsewhere"),
        permissions=Permissions(code=True, reason="by the test"),
        example=EXAMPLE_FILE,
    )
    for path, data in {**files, "manifest.json": ManifestFile.write(manifest).data}.items():
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("code", "answers", "outcome", "verdict", "reason"),
    [
        (RULES, ("low", "high"), TrialOutcome.ANSWERED, "deploy", "all answers equal the recorded ones"),
        (RULES, ("low", "low"), TrialOutcome.ANSWERED, "reject", "differently from its recorded answers"),
        (BROKEN, (), TrialOutcome.FAILED, "reject", "missing"),
    ],
)
def test_rules_answer_as_recorded_or_are_rejected_with_the_reason(
    tmp_path: Path, code: bytes, answers: tuple[str, ...], outcome: TrialOutcome, verdict: str, reason: str
) -> None:
    trial = ConfinedTrials(TrialLimits(measure_s=0.1, allow_unconfined=True)).run(version(tmp_path, code, answers))
    judged = judge_trial(trial)
    assert (trial.outcome, judged.verdict) == (outcome, verdict)
    assert reason in " ".join(judged.reasons)
