"""Recipe `tabular-classifier`: several candidates as Ray tasks, the best one on newer rows wins and is fitted again."""

from modelyard_flavours import Encoding
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.recipes import TabularParameters
from modelyard_trainer.recipes.candidates import Tried, attempt, fit_and_save
from modelyard_trainer.worker.fitters import Pool
from modelyard_trainer.worker.ray_session import ray_session
from modelyard_trainer.worker.work import SavedFiles, Trained, Work


def run(work: Work) -> Trained:
    """Train all candidates in parallel, choose, and fit the winner on all rows that may be used."""
    parameters: TabularParameters = work.parameters
    if len(set(work.train.labels.tolist())) < 2:
        raise BadRequest("dataset: the rows to learn from have one class only; give a longer or a newer stretch")
    encoding = Encoding.learn(work.train.numeric, work.train.categorical, work.schema.classes)
    work.report(0.0, "starting Ray")
    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        work.report(0.15, f"trying {', '.join(parameters.candidates)}")
        pool = Pool(ray, work.folder.parent)
        tried = _try_all(pool, work, parameters, encoding)
        best = choose(tried, parameters)
        work.report(0.85, f"{best.name} wins; fitting it on {work.split.used} rows")
        encoding = Encoding.learn(work.used.numeric, work.used.categorical, work.schema.classes)
        files = pool.one(fit_and_save, best.name, parameters, work.used, encoding)
    return _trained(files, best, tried, parameters)


def choose(tried: list[Tried], parameters: TabularParameters) -> Tried:
    """The greatest value; of equal ones the faster, then the name, so that a repeat chooses the same."""
    return max(tried, key=lambda one: (round(one.value(parameters), 9), -one.row_ms, one.name))


def _try_all(pool: Pool, work: Work, parameters: TabularParameters, encoding: Encoding) -> list[Tried]:
    train, validation, known = pool.put(work.train), pool.put(work.validation), pool.put(encoding)
    tried: list[Tried] = []
    calls = [(name, parameters, train, validation, known) for name in parameters.candidates]
    for one in pool.each(attempt, calls):
        tried.append(one)
        share = 0.15 + 0.7 * len(tried) / len(parameters.candidates)
        work.report(share, f"{one.name}: {parameters.metric} {one.figures[parameters.metric]:.4f} in {one.fit_s:.1f} s")
    return tried


def _trained(fitted: SavedFiles, best: Tried, tried: list[Tried], parameters: TabularParameters) -> Trained:
    others = ", ".join(
        f"{one.name} {one.figures[parameters.metric]:.4f}"
        for one in sorted(tried, key=lambda one: one.name)
        if one is not best
    )
    metrics = {f"validation_{name}": round(value, 6) for name, value in best.figures.items()}
    metrics |= {f"candidate_{one.name}": round(one.figures[parameters.metric], 6) for one in tried}
    metrics |= {"row_ms": round(best.row_ms, 4), "fit_s": round(sum(one.fit_s for one in tried), 3)}
    return Trained(
        flavour="sklearn",
        fitted=fitted,
        validation_scores=best.scores,
        summary=f"{best.name}: validation {parameters.metric} {best.figures[parameters.metric]:.4f}"
        + (f" (others: {others})" if others else ""),
        metrics=metrics,
        facts={"winner": best.name},
    )
