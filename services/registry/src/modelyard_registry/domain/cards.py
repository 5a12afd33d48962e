"""Cards of model versions, made of recorded facts, as Markdown and YAML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelyard_contracts.card import CardDocument, CardEvaluation, CardProse, CardScan, CardTraining, ModelCard
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import Column, Task
from modelyard_registry.domain.values import Entry, Resource, Scan, Version

PIPELINE_TAGS: Final[Mapping[tuple[str, Task], str]] = {
    ("columns", Task.BINARY): "tabular-classification",
    ("columns", Task.MULTICLASS): "tabular-classification",
    ("columns", Task.REGRESSION): "tabular-regression",
    ("text", Task.BINARY): "text-classification",
    ("text", Task.MULTICLASS): "text-classification",
    ("text", Task.REGRESSION): "text-classification",
    ("text", Task.TEXT): "text-generation",
    ("text", Task.EMBEDDING): "feature-extraction",
}
"""(input, task) to the word of the Hugging Face Hub."""
SECTIONS: Final = {
    "intended_use": "Intended use",
    "limitations": "Limitations",
    "ethics": "Ethics",
    "notes": "Notes",
}


@dataclass(frozen=True)
class Written:
    """The newest prose; revision 0 when there is none."""

    prose: CardProse = CardProse()  # noqa: RUF009  frozen
    revision: int = 0


def card_of(
    resource: Resource,
    version: Version,
    manifest: ModelManifest,
    *,
    evaluated: Entry | None,
    scan: Scan | None,
    written: Written,
) -> ModelCard:
    """Assemble the card. evaluated: the newest line of the history with an evaluation of the version."""
    source = manifest.source
    return ModelCard(
        model=resource.key.reference,
        version=version.version,
        semver=version.semver,
        digest=version.digest,
        stage=version.stage.value,
        description=resource.description,
        owner=resource.owner,
        labels=dict(resource.labels),
        tags=dict(version.tags),
        task=manifest.task.value,
        flavour=manifest.flavour,
        framework=source.framework if source else "",
        license=source.license if source else "",
        source=source,
        signature=manifest.signature,
        training=CardTraining.model_validate(manifest.training.model_dump(), extra="ignore"),
        evaluation=_evaluation(evaluated),
        scan=_scan(scan),
        permissions=manifest.permissions,
        environment=manifest.environment,
        files=len(manifest.files),
        size_bytes=sum(entry.size_bytes for entry in manifest.files),
        created_at=version.created_at,
        created_by=version.created_by,
        prose=written.prose,
        prose_revision=written.revision,
    )


def front_matter(card: ModelCard) -> dict[str, Any]:
    """Metadata with the keys of the Hugging Face Hub; keys without a value are left out."""
    source = card.source
    metrics = card.training.metrics
    found = {
        "license": card.license,
        "library_name": card.framework.split()[0] if card.framework.strip() else card.flavour,
        "pipeline_tag": PIPELINE_TAGS.get((card.signature.input, card.signature.task)),
        "base_model": source.base_model if source else "",
        "datasets": [card.training.dataset_digest] if card.training.dataset_digest else [],
        "metrics": sorted(metrics),
        "tags": sorted(f"{name}:{value}" for name, value in card.tags.items()),
        "model-index": [_index(card)] if metrics else [],
    }
    return {key: value for key, value in found.items() if value}


def markdown(document: CardDocument) -> str:
    """The card below its front matter."""
    return "\n".join(_lines(document)).rstrip() + "\n"


def _evaluation(entry: Entry | None) -> CardEvaluation | None:
    if entry is None:
        return None
    facts = entry.detail
    return CardEvaluation(
        verdict=facts["verdict"],
        reasons=tuple(facts.get("reasons") or ()),
        metric=facts.get("metric") or "",
        value=facts.get("challenger_value"),
        rows=facts.get("rows") or 0,
        dataset_digest=facts.get("dataset_digest"),
        latency_ms_p95=facts.get("challenger_latency_ms_p95"),
        memory_mib=facts.get("challenger_memory_mib"),
        finished_at=entry.occurred_at,
    )


def _scan(scan: Scan | None) -> CardScan | None:
    if scan is None:
        return None
    report = scan.report
    return CardScan(
        verdict=report.verdict.value,
        rules_version=report.rules_version,
        scanned_at=scan.scanned_at,
        dependencies=report.dependencies.sentence(scan.scanned_at) if report.dependencies else "",
    )


def _index(card: ModelCard) -> dict[str, Any]:
    """One entry of `model-index`: the metrics of training on its dataset."""
    task = {"type": PIPELINE_TAGS.get((card.signature.input, card.signature.task), card.task)}
    dataset = {"type": "tabular", "name": card.training.dataset_digest or "not recorded"}
    metrics = [{"type": name, "value": value} for name, value in sorted(card.training.metrics.items())]
    return {"name": card.model, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}


def _lines(document: CardDocument) -> Iterator[str]:
    card = document.card
    yield from (f"# {_plain(card.model)} {card.semver or f'version {card.version}'}", "")
    if card.description:
        yield from (card.description, "")
    yield from _list(_facts(document))
    for name, heading in SECTIONS.items():
        text = getattr(card.prose, name).strip()
        if text:
            yield from (f"## {heading}", "", text, "")
    if document.edited_after_release:
        yield from ("The text above was changed after the version was approved; the approved card is kept.", "")
    yield from ("## Input", "", *_columns(card.signature.columns), "")
    yield from ("## Output", "", *_list(_output(card)))
    yield from ("## Training", "", *_list(_training(card)))
    yield from ("## Metrics of training", "", *_list({k: f"{v:.4g}" for k, v in sorted(card.training.metrics.items())}))
    yield from ("## Evaluation", "", *_list(_judged(card.evaluation)))
    yield from ("## Source and permissions", "", *_list(_origin(card)))


def _facts(document: CardDocument) -> dict[str, str]:
    card, release = document.card, document.release
    return {
        "owner": card.owner or "none",
        "stage": card.stage,
        "task": card.task,
        "flavour": card.flavour,
        "framework": card.framework,
        "licence": f"{card.license or 'not stated'}{', gated' if card.source and card.source.gated else ''}",
        "digest": f"`{card.digest}`",
        "files": f"{card.files:,} with {card.size_bytes:,} bytes",
        "registered": f"{card.created_at:%Y-%m-%d %H:%M} UTC by {card.created_by}",
        "approved card": f"`{release.digest}` of {release.released_at:%Y-%m-%d %H:%M} UTC" if release else "",
        "tags": ", ".join(f"{name}={value}" for name, value in sorted(card.tags.items())),
    }


def _columns(columns: Sequence[Column]) -> Iterator[str]:
    yield from ("| column | type | limits |", "|---|---|---|")
    for column in columns:
        limits = ["may be missing" if column.nullable else "required"]
        limits += [f"in {column.unit}"] if column.unit else []
        limits += [f"at most {column.max_length:,} characters"] if column.max_length else []
        yield f"| {_plain(column.name)} | {column.type} | {_plain(', '.join(limits))} |"


def _output(card: ModelCard) -> dict[str, str]:
    output = card.signature.output
    return {"name": output.name, "classes": ", ".join(output.classes), "unit": output.unit or ""}


def _training(card: ModelCard) -> dict[str, str]:
    training = card.training
    facts = {
        "recipe": training.recipe,
        "run": training.run_id or "",
        "dataset": f"`{training.dataset_digest}`" if training.dataset_digest else "not recorded",
        "from": f"{training.train_from:%Y-%m-%d %H:%M} UTC" if training.train_from else "",
        "until": f"{training.train_until:%Y-%m-%d %H:%M} UTC" if training.train_until else "",
        "described as": card.source.training_data if card.source else "",
    }
    return facts | dict(sorted(training.parameters.items()))


def _judged(found: CardEvaluation | None) -> dict[str, str]:
    if found is None:
        return {}
    return {
        "verdict": f"{found.verdict} at {found.finished_at:%Y-%m-%d %H:%M} UTC",
        "reasons": " ".join(found.reasons),
        found.metric or "metric": f"{found.value:.4g} on {found.rows:,} rows" if found.value is not None else "",
        "latency p95": f"{found.latency_ms_p95:.3g} ms" if found.latency_ms_p95 is not None else "",
        "memory": f"{found.memory_mib:.4g} MiB" if found.memory_mib is not None else "",
    }


def _origin(card: ModelCard) -> dict[str, str]:
    source, scan = card.source, card.scan
    asked = [name for name in ("code", "network") if getattr(card.permissions, name)]
    return {
        "source": f"{source.kind} {source.uri}".strip() if source else "a training run of this platform",
        "format": source.format if source else "",
        "revision": source.revision if source else "",
        "base model": source.base_model if source else "",
        "permissions": f"{', '.join(asked)} ({card.permissions.reason})" if asked else "none",
        "scan": f"{scan.verdict} by rules {scan.rules_version}" if scan else "not scanned",
        "dependencies": scan.dependencies if scan else "",
        "packages": ", ".join(f"{name} {version}" for name, version in sorted(card.environment.items())),
    }


def _list(facts: Mapping[str, str]) -> Iterator[str]:
    """Facts with a value, one a line; `none recorded` without any."""
    lines = [f"- {name}: {_plain(value)}" for name, value in facts.items() if value]
    yield from (*(lines or ["none recorded"]), "")


def _plain(text: str) -> str:
    """Text in one line of a table or list: it cannot start another element of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
