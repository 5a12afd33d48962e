"""The card of a model version: recorded facts, and prose that people edit."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from modelyard_contracts.manifest import Permissions, Source
from modelyard_contracts.messages.base import Part, UtcDatetime
from modelyard_contracts.numbers import Amount, Count, Finite
from modelyard_contracts.signature import Signature

MAX_PROSE_CHARACTERS: Final = 20_000
Prose = Annotated[str, StringConstraints(max_length=MAX_PROSE_CHARACTERS)]


class CardProse(Part):
    """The sections that people write, as Markdown."""

    intended_use: Prose = ""
    limitations: Prose = ""
    ethics: Prose = ""
    notes: Prose = ""

    @property
    def written(self) -> bool:
        """At least one section has text."""
        return any(text.strip() for text in self.model_dump().values())


class CardTraining(Part):
    """Data and lineage of a version."""

    recipe: str
    run_id: str | None = None
    dataset_digest: str | None = None
    train_from: UtcDatetime | None = None
    train_until: UtcDatetime | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, Finite] = Field(default_factory=dict)


class CardEvaluation(Part):
    """The last verdict on a version, and what was measured for it."""

    verdict: str
    reasons: tuple[str, ...] = ()
    metric: str = ""
    value: Finite | None = None
    rows: Count = 0
    dataset_digest: str | None = None
    latency_ms_p95: Amount | None = None
    memory_mib: Amount | None = None
    finished_at: UtcDatetime


class CardScan(Part):
    """Result of the last scan of the files."""

    verdict: str
    rules_version: str
    scanned_at: UtcDatetime
    dependencies: str = ""
    """Result of comparing the dependencies with known vulnerabilities; empty if the version lists none."""


class ModelCard(Part):
    """Everything that is known about a version, for people who decide whether to use it."""

    model: str
    version: int
    semver: str | None = None
    digest: str
    stage: str
    description: str = ""
    owner: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    task: str
    flavour: str
    framework: str = ""
    license: str = ""
    source: Source | None = None
    signature: Signature
    training: CardTraining
    evaluation: CardEvaluation | None = None
    """None until the evaluator has judged the version."""
    scan: CardScan | None = None
    permissions: Permissions = Permissions()
    environment: dict[str, str] = Field(default_factory=dict)
    files: Count = 0
    size_bytes: Count = 0
    created_at: UtcDatetime
    created_by: str
    prose: CardProse = CardProse()
    prose_revision: Count = 0
    """0: none was written."""


class CardRelease(Part):
    """The card as it was when the version was first approved; it never changes."""

    digest: str
    """SHA-256 of the card as canonical JSON."""
    prose_revision: Count = Field(default=0)
    released_at: UtcDatetime


class CardDocument(Part):
    """The card of today, and whether its prose was changed after the version was approved."""

    card: ModelCard
    release: CardRelease | None = None
    edited_after_release: bool = False


class CardRevision(Part):
    """One revision of the prose."""

    revision: Count
    prose: CardProse
    actor: str
    reason: str
    written_at: UtcDatetime
