"""A trial in a real process: an author's rules are loaded from their files and answer their example."""

from pathlib import Path

import pytest

from modelyard_contracts.connections import Connection
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
from modelyard_devstack.testing.openai import KEY, bought_manifest, fake_provider
from modelyard_evaluator.domain.trial import TrialOutcome, judge_trial
from modelyard_evaluator.scoring.trials import ConfinedTrials
from modelyard_runtime.provider_keys import ProviderKeys
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


def trials(connection: Connection | None = None, keys: ProviderKeys | None = None) -> ConfinedTrials:
    limits = TrialLimits(measure_s=0.1, allow_unconfined=True)
    return ConfinedTrials(limits, lambda reference: (1, connection), keys or ProviderKeys())


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
    trial = trials().run(version(tmp_path, code, answers))
    judged = judge_trial(trial)
    assert (trial.outcome, judged.verdict) == (outcome, verdict)
    assert reason in " ".join(judged.reasons)


def bought(folder: Path) -> Path:
    """A model of a provider with one example row."""
    example = write(Example(rows=({"text": "to be"},)))
    (folder / EXAMPLE_FILE).write_bytes(example)
    manifest = bought_manifest(folder, "openai")
    entry = FileEntry(path=EXAMPLE_FILE, digest=digest_of(example), size_bytes=len(example))
    manifest = manifest.model_copy(update={"files": (*manifest.files, entry), "example": EXAMPLE_FILE})
    (folder / "manifest.json").write_bytes(ManifestFile.write(manifest).data)
    return folder


def test_a_bought_model_is_called_once_if_its_key_is_here(tmp_path: Path, loopback: None) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "model").mkdir()
    folder = bought(tmp_path / "model")
    with fake_provider() as provider:
        connection = Connection(endpoint=provider.url, allow_http=True, secret="A_KEY")
        trial = trials(connection, ProviderKeys(tmp_path / "keys")).run(folder)
        assert (trial.outcome, provider.calls) == (TrialOutcome.NOT_RUN, [])
        assert "connection openai: there is no key for the secret A_KEY" in trial.reason
        assert judge_trial(trial).verdict == "inconclusive"
        (tmp_path / "keys" / "A_KEY").write_text(KEY)
        trial = trials(connection, ProviderKeys(tmp_path / "keys")).run(folder)
        assert (trial.outcome, trial.rows, len(provider.calls)) == (TrialOutcome.ANSWERED, 1, 1), trial.reason
    trial = trials(None).run(folder)
    assert (trial.outcome, "it was deleted" in trial.reason) == (TrialOutcome.NOT_RUN, True)
