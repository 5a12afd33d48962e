"""The stage before all others for a version that was made elsewhere: run it once on its example."""

import shutil
from dataclasses import replace

from modelyard_contracts import Verdict
from modelyard_contracts.external import not_served
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.outcome import conclude
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.domain.trial import Trial, TrialOutcome, judge_trial, needs_trial
from modelyard_evaluator.usecases.prepare import resolve_versions


def resolve_or_try(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Resolve the versions; a version that was made elsewhere is tried next, once per evaluation.

    A version that nothing here can run has no evidence: the verdict is inconclusive at once.
    """
    resolved = resolve_versions(deps, evaluation)
    if resolved.done or resolved.trial is not None:
        return resolved
    manifest = deps.registry.version(resolved.model, resolved.challenger_version).manifest
    if (why := not_served(manifest.flavour, manifest.options)) is not None:
        tried = replace(resolved, trial=Trial(TrialOutcome.NOT_RUN, why), task=manifest.task)
        return conclude(tried, deps.clock(), judge_trial(Trial(TrialOutcome.NOT_RUN, why)))
    return replace(resolved, stage=Stage.TRIAL) if needs_trial(manifest) else resolved


def run_trial(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Try the version. It goes on to a comparison if it answered and there is something to compare it with."""
    version = deps.registry.version(evaluation.model, evaluation.challenger_version)
    folder = deps.work_dir / str(evaluation.id) / "trial"
    deps.registry.download(version, folder)
    trial = deps.trials.run(folder)
    shutil.rmtree(folder, ignore_errors=True)
    evaluation, judgement = replace(evaluation, trial=trial), judge_trial(trial)
    comparable = evaluation.champion is not None or version.manifest.training.dataset_digest is not None
    if judgement.verdict is Verdict.DEPLOY and comparable:
        return replace(evaluation, stage=Stage.WAITING, changed_at=deps.clock())
    return conclude(replace(evaluation, task=version.signature.task), deps.clock(), judgement)
