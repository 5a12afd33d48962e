"""Policies of a model: versioned documents in the registry, read by the service that applies them."""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from modelyard_contracts.documents import Document
from modelyard_contracts.external import EXTERNAL_API
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.messages.base import Part, Severity
from modelyard_contracts.numbers import Finite, TimeoutMs
from modelyard_contracts.routes import MAX_MEMBERS, TIMEOUT_MS
from modelyard_contracts.signature import Task

CENTURY_S: Final = 36_525 * 86_400
MAX_ROWS: Final = 1_000_000_000
Seconds = Annotated[float, Field(ge=0, le=CENTURY_S, allow_inf_nan=False)]
"""Bounded, so that it can be added to any moment."""


Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "mae", "rmse", "r2"]
CLASS_METRICS: Final[tuple[Metric, ...]] = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
VALUE_METRICS: Final[tuple[Metric, ...]] = ("mae", "rmse", "r2")
LOWER_IS_BETTER: Final = frozenset({"log_loss", "mae", "rmse"})

TEXT_TIMEOUT_MS: Final = 30_000
"""Time of a route for the first piece of a text, or for a provider, unless a policy or specification states one."""


class Policy(Document):
    """A policy. The text below a field is its description: forms and API documents show it."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class GatePolicy(Policy):
    """Conditions that a version must meet before it may serve."""

    DOCUMENT: ClassVar[str] = "gate policy"

    approval: Literal["automatic", "manual"] = "automatic"
    """`manual`: a person approves after the evaluator said deploy."""
    four_eyes: bool = True
    """A version is approved by another person than the one who registered it."""
    resemblance: Literal["warn", "refuse"] = "warn"
    """`refuse`: a version whose files are byte-identical to a version of another model is not registered."""
    standard: Literal["auto", "better", "not_worse", "safe"] = "auto"
    """What a challenger must show. `better`: a gain above `min_gain`. `not_worse`: a loss below `not_worse_margin`.
    `safe`: usable answers within the latency limit, which is enough for a member of a vote. `auto`: `safe` where the
    rollout policy is adaptive; otherwise `not_worse` while a performance alarm of the champion is open, and `better`
    while none is."""
    not_worse_margin: Finite = Field(default=0.02, ge=0)
    """Loss that `not_worse` and `safe` accept: a difference of class metrics, a share of the champion's error of
    values."""
    metric: Metric | None = None
    """None takes the metric that chose the version, else accuracy for classes, mean absolute error for values."""
    min_rows: int = Field(default=100, ge=30, le=MAX_ROWS)
    """Labelled rows below which the verdict is inconclusive."""
    recent_rows: int = Field(default=2_000, ge=100, le=MAX_ROWS)
    """At most this many of the newest labelled rows are pinned."""
    confidence: Finite = Field(default=0.95, gt=0.5, lt=1)
    """A version that is no better is deployed with probability 1 - confidence at most, over all looks together."""
    look_every_rows: int = Field(default=100, ge=1, le=MAX_ROWS)
    """Further labelled rows after which an undecided comparison is computed again; at least a tenth of those so far."""
    max_open_s: Seconds = 86_400.0
    """How long an undecided comparison waits for further labels before the verdict is inconclusive. 0: it is computed
    once, with a test for a single look."""
    max_open_rows: int = Field(default=10_000, ge=100, le=MAX_ROWS)
    """Labelled rows after which a comparison is not looked at again."""
    max_open_comparisons: int = Field(default=5, ge=1, le=100)
    """Comparisons of one model that stay open. The oldest ends as inconclusive when one more opens: each look scores
    both versions on all rows so far, and newer versions know newer data."""
    inconclusive: Literal["wait", "live_share"] = "wait"
    """Traffic of a version while its comparison is undecided. `wait`: none. `live_share`: `live_share_percent`, under
    the guardrails of the rollout policy; the last look then decides between deploy and reject."""
    live_share_percent: Finite = Field(default=5.0, gt=0, le=20)
    """Share of the traffic that such a version answers until its comparison ends."""
    min_gain: Finite = 0.0
    """The challenger must be better by more than this, with the confidence above."""
    max_latency_ratio: Finite = Field(default=5.0, gt=0)
    """Challenger's p95 over champion's; above it the verdict is reject."""
    earlier_versions: int = Field(default=3, ge=0, le=50)
    """Number of the newest approved versions that no longer serve and compete again: earlier concepts return."""

    @model_validator(mode="after")
    def _live_share_needs_open_comparisons(self) -> Self:
        if self.inconclusive == "live_share" and self.approval == "manual":
            raise ValueError(
                "inconclusive: `live_share` serves versions before they are approved; set approval to `automatic`"
            )
        if self.inconclusive == "live_share" and self.max_open_s == 0:
            raise ValueError("inconclusive: `live_share` needs comparisons that stay open; set max_open_s above 0")
        return self

    def metric_for(self, task: Task, chosen_by: str | None = None) -> Metric:
        """Metric of a task; ValueError when the policy names one that the task does not have.

        chosen_by: metric that chose the version in training; used if the policy names none and it fits the task.
        """
        fitting: tuple[Metric, ...] = CLASS_METRICS if task.classifies else VALUE_METRICS
        metric = self.metric or next((one for one in fitting if one == chosen_by), fitting[0])
        if metric not in fitting:
            raise ValueError(f"gate policy: metric {metric} does not fit the task {task}; use {', '.join(fitting)}")
        return metric


Window = Literal["recent", "since_change", "age_weighted", "all"]
"""Training rows that a retraining may learn from; see RetrainPolicy.windows."""


class RetrainPolicy(Policy):
    """Drift and schedules that become training runs, and the data of those runs."""

    DOCUMENT: ClassVar[str] = "retrain policy"

    enabled: bool = True
    recipe: str | None = None
    """None takes the recipe that made the serving version."""
    kinds: tuple[Literal["feature", "score", "classes", "performance"], ...] = ("performance", "score")
    react_to: Literal["recommended", "all"] = "recommended"
    """Which drift of these kinds starts a run. `recommended`: every performance drift, and other drift whose event
    recommends a retraining. `all`: any."""
    min_severity: Severity = Severity.WARNING
    every_rows: int | None = Field(default=None, ge=200, le=MAX_ROWS)
    """Labels after which a run starts also without a drift; None: never. Any run begins the count anew."""
    every_s: Annotated[float, Field(ge=1, le=CENTURY_S, allow_inf_nan=False)] | None = None
    """Time after which a run starts also without a drift; None: never. Any run begins it anew."""
    growth: Annotated[float, Field(ge=1.1, le=100, allow_inf_nan=False)] | None = None
    """A run starts also without a drift once there are this many times the rows that the newest run learned from, as
    long as these were fewer than `window_rows` (`history_rows` with other windows); None: never. A model that began
    with few rows improves by more of them although nothing drifts."""
    cool_down_s: Seconds = 300.0
    max_runs_per_day: int = Field(default=24, ge=0, le=86_400)
    windows: tuple[Window, ...] = ("recent",)
    """Windows of training rows that a retraining tries; the rows after the change decide. `recent`: the newest
    `window_rows`. `since_change`: the rows after the change that the drift names. `age_weighted`: all rows, newer ones
    with more weight. `all`: all rows alike. "All" are the newest `history_rows`."""
    window_rows: int = Field(default=4_000, ge=200, le=MAX_ROWS)
    """Newest labelled rows of the window `recent`, on which estimators are compared first."""
    history_rows: int = Field(default=20_000, ge=200, le=MAX_ROWS)
    """Newest labelled rows that the other windows may reach back to; not fewer than `window_rows`."""
    half_life_rows: int = Field(default=2_000, ge=50, le=MAX_ROWS)
    """Rows after which the weight of a row in the window `age_weighted` has halved."""
    holdout_rows: int = Field(default=500, ge=50, le=MAX_ROWS)
    """The newest of them, kept from fitting and choosing so that the evaluator can judge."""
    learn_holdout: Literal["auto", "always", "never"] = "auto"
    """Whether the version is fitted once more, with the held-out rows, after these have judged it. It then knows the
    newest rows, and only labels of later ones can judge it. `auto`: where the rollout policy is adaptive."""
    parameters: dict[str, str] = Field(default_factory=dict)
    online: tuple[Literal["forest", "linear"], ...] = ()
    """Online learners that follow the labels of the model and publish snapshots as versions. `forest`: an adaptive
    random forest. `linear`: a logistic, softmax or linear regression. Empty: none."""
    publish_every_rows: int = Field(default=500, ge=50, le=MAX_ROWS)
    """Labelled rows between two snapshots of an online learner."""

    @field_validator("online", "windows")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("name each of them once")
        return names

    @field_validator("windows")
    @classmethod
    def _at_least_one(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        if not windows:
            raise ValueError("name at least one window: recent, since_change, age_weighted or all")
        return windows


class AdaptivePolicy(Part):
    """How the versions of an adaptive model answer together, and how their weights follow the labels."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    members: int = Field(default=5, ge=2, le=MAX_MEMBERS)
    """Versions that stay ready and vote; the one with the least weight leaves when there are more."""
    answer: Literal["vote", "draw"] = "vote"
    """`vote`: every member answers every request. `draw`: one member answers it, drawn with the weights."""
    combiner: Literal["soft", "hard"] = "soft"
    """Of classes: `soft` takes the weighted mean of probabilities, `hard` counts weighted votes. Values take the
    weighted mean."""
    learning_rate: Finite = Field(default=0.15, gt=0, le=2)
    """Nats of weight that one wrong answer costs."""
    share: Finite = Field(default=0.001, ge=0, le=0.1)
    """Share of all weight that is spread over the members again with each label, so that none is lost for good."""
    entry_nats: Finite = Field(default=1.0, ge=0, le=20)
    """How far below the leader's weight a new member starts, in nats."""
    update_every_s: Seconds = Field(default=2.0, ge=0.1, le=3_600)
    """How often the weights follow the labels."""
    keep_first: bool = True
    """Whether the first version stays a member: earlier concepts return."""


class RolloutPolicy(Policy):
    """Steps, guardrails and limits of a rollout."""

    DOCUMENT: ClassVar[str] = "rollout policy"

    route: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """None: the model's own name."""
    strategy: Literal["full", "canary", "adaptive"] = "canary"
    """`full`: all traffic at once. `canary`: in steps. `adaptive`: the version joins the vote of the versions before
    it; see `adaptive`."""
    adaptive: AdaptivePolicy = AdaptivePolicy()
    steps_percent: tuple[Finite, ...] = (5.0, 20.0, 50.0, 100.0)
    min_samples: int = Field(default=100, ge=0, le=MAX_ROWS)
    """Answers of the new version at a step before it may advance."""
    min_step_s: Seconds = 2.0
    max_hold_s: Seconds = Field(default=600.0, gt=0)
    on_hold_expired: Literal["abort", "promote"] = "abort"
    supersede: Literal["newer_better", "wait"] = "newer_better"
    """`newer_better`: a newer approved version that the evaluator found better takes the place of the one being rolled
    out. `wait`: it waits until that rollout has ended."""
    max_error_rate: Finite = Field(default=0.10, gt=0, le=1)
    """Hard limit: aborts at once, from 50 answers on."""
    error_rate_margin: Finite = Field(default=0.01, ge=0)
    accuracy_margin: Finite = Field(default=0.05, ge=0)
    """Abort when the accuracy is lower than the stable version's by more than this, with confidence 1 - alpha."""
    error_margin: Finite = Field(default=0.05, ge=0)
    """For regressions: abort when the mean absolute error is higher by more than this share, as confidently."""
    alpha: Finite = Field(default=0.05, gt=0, lt=0.5)
    keep_warm_s: Seconds = 3600.0
    """How long the replaced version stays ready for a roll-back."""
    timeout_ms: TimeoutMs = TIMEOUT_MS
    """Time of the route for an answer, or for the first piece of a text. The default, 2,000, becomes 30,000 for
    versions that answer texts and for models of providers."""

    def waiting_ms(self, manifest: ModelManifest) -> int:
        """The time of the route of a version: more than the default for texts and models of providers."""
        if self.timeout_ms != TIMEOUT_MS:
            return self.timeout_ms
        return TEXT_TIMEOUT_MS if waits_for_others(manifest) else TIMEOUT_MS


def waits_for_others(manifest: ModelManifest) -> bool:
    """Whether a version answers texts, which are generated piece by piece, or is a model of a provider."""
    return manifest.flavour == EXTERNAL_API or manifest.task is Task.TEXT


POLICIES: Final[dict[str, type[Policy]]] = {"gate": GatePolicy, "retrain": RetrainPolicy, "rollout": RolloutPolicy}
