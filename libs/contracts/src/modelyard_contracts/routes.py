"""Routes: the plan that routers execute, and the specification that people write.

A plan is a tree. Its leaves are versions with addresses; the nodes above choose among them. The deployer expands a
specification, whose leaves name models or pinned versions, into a plan and publishes it; routers walk the plan.
`cascade` and `prompt` are defined here and refused by this release (`unsupported`).
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from modelyard_contracts.documents import Document
from modelyard_contracts.manifest import Price
from modelyard_contracts.messages.base import Part
from modelyard_contracts.numbers import Finite, Percent, Share, TimeoutMs, VersionNumber
from modelyard_contracts.references import REFERENCE_PATTERN

MAX_DEPTH: Final = 8
MAX_LEAVES: Final = 64
MAX_RULES: Final = 32
MAX_MEMBERS: Final = 16
WEIGHT_TOLERANCE: Final = 1e-6
DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"
StepName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Name of an arm, rule or copy; part of an attempt's path."""
Failure = Literal["timeout", "unavailable", "upstream_error"]

TIMEOUT_MS: Final = 2_000
"""Time of a route for an answer, unless stated."""


class Comparison(Part):
    """A comparison of one fact of the request; false when the fact is missing, except for `exists`.

    fact: `workspace`, `text_length` (characters), `entity`, `session`, `header:<name>` or `feature:<column>`.
    """

    fact: str = Field(pattern=r"^(workspace|text_length|entity|session|header:.{1,256}|feature:.{1,256})$")
    op: Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "prefix", "exists"]
    value: str | Finite | bool | tuple[str | Finite | bool, ...] | None = None

    @model_validator(mode="after")
    def _value_fits_op(self) -> Self:
        if self.op == "in" and not isinstance(self.value, tuple):
            raise ValueError("value: `in` compares with a list")
        if self.op in ("lt", "le", "gt", "ge") and (isinstance(self.value, bool) or not isinstance(self.value, float)):
            raise ValueError(f"value: `{self.op}` compares with a number")
        if self.op == "prefix" and not isinstance(self.value, str):
            raise ValueError("value: `prefix` compares with a string")
        if self.op in ("eq", "ne") and (self.value is None or isinstance(self.value, tuple)):
            raise ValueError(f"value: `{self.op}` compares with one value")
        return self


class Condition(Part):
    """One comparison, or conditions joined by `all`, `any` or `not`."""

    compare: Comparison | None = None
    all: tuple["Condition", ...] | None = None
    any: tuple["Condition", ...] | None = None
    negate: "Condition | None" = Field(default=None, alias="not")

    @model_validator(mode="before")
    @classmethod
    def _flat_comparison(cls, data: Any) -> Any:
        """`{fact, op, value}` is short for `{compare: {fact, op, value}}`."""
        if isinstance(data, dict) and "fact" in data:
            inner = {key: data[key] for key in ("fact", "op", "value") if key in data}
            return {"compare": inner, **{key: value for key, value in data.items() if key not in inner}}
        return data

    @model_validator(mode="after")
    def _states_one_thing(self) -> Self:
        given = [part for part in (self.compare, self.all, self.any, self.negate) if part is not None]
        if len(given) != 1:
            raise ValueError("give one of: fact and op, all, any, not")
        return self


class ModelLeaf(Part):
    """Leaf of a specification: the model's live versions, as its rollouts split them."""

    kind: Literal["model"]
    model: str = Field(pattern=REFERENCE_PATTERN)


class VersionLeaf(Part):
    """Leaf: one version. A specification pins it by model and number; in a plan it has a digest and addresses too."""

    kind: Literal["version"] = "version"
    model: str = Field(pattern=REFERENCE_PATTERN)
    version: VersionNumber
    digest: str | None = Field(default=None, pattern=DIGEST_PATTERN)
    urls: tuple[str, ...] = ()
    feature_schema_id: str | None = None
    variant: str = "stable"
    """`stable`, `canary`, or the name of a pinned leaf's arm."""
    timeout_ms: TimeoutMs | None = None
    """None takes the route's."""
    price: Price = Price()
    managed: bool = False
    """True when the leaf comes from a model's rollouts, False when a person pinned it."""


class Arm(Part):
    """One choice of a split."""

    name: StepName
    weight: Share
    node: "Node"


class Split(Part):
    """Sticky choice by weight; arms in order own [0, w0), [w0, w0 + w1), ..., so put challengers first."""

    kind: Literal["split"] = "split"
    unit: Literal["entity", "session", "request"] = "entity"
    """What keeps its arm while weights move; a request without the unit is chosen by its prediction id."""
    draw: bool = False
    """The arms are the members of an adaptive model, one of which is drawn for each request: the record has the vote
    of that member, with the arm's weight."""

    arms: tuple[Arm, ...] = Field(min_length=1, max_length=MAX_LEAVES)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(arm.weight for arm in self.arms)
        if abs(total - 1) > WEIGHT_TOLERANCE:
            raise ValueError(f"arms: weights add up to {total:g}, must be 1")
        if len({arm.name for arm in self.arms}) != len(self.arms):
            raise ValueError("arms: two arms have the same name")
        return self


class Rule(Part):
    """A condition and where it leads."""

    name: StepName
    when: Condition
    node: "Node"


class Rules(Part):
    """The first rule whose condition holds; `otherwise` if none does."""

    kind: Literal["rules"] = "rules"
    rules: tuple[Rule, ...] = Field(min_length=1, max_length=MAX_RULES)
    otherwise: "Node"


class Fallback(Part):
    """Tried in order while the failure is one of `on`, budget and deadline allow it."""

    kind: Literal["fallback"] = "fallback"
    on: tuple[Failure, ...] = ("timeout", "unavailable", "upstream_error")
    retry_budget: Share = 0.2
    """Share of the route's recent requests that may be retried."""
    max_attempts: int = Field(default=3, ge=1, le=10)
    nodes: tuple["Node", ...] = Field(min_length=1, max_length=10)


class Copy(Part):
    """A share of the requests that is sent a second time."""

    name: StepName
    percent: Percent = 100.0
    node: "Node"


class Shadow(Part):
    """`main` answers; copies of the request go to the others, whose answers are only logged."""

    kind: Literal["shadow"] = "shadow"
    main: "Node"
    copies: tuple[Copy, ...] = Field(min_length=1, max_length=10)


class Cascade(Part):
    """A cheap version first, a dearer one when it is unsure. Not executed by this release."""

    kind: Literal["cascade"] = "cascade"
    threshold: Share
    """The first answer stands when its largest score reaches this; otherwise `then` answers."""
    first: "Node"
    then: "Node"


class Member(Part):
    """One voter of an ensemble."""

    weight: Share = 1.0
    """Relative to the other members; a member of weight 0 is not asked."""
    node: "Node"


class Ensemble(Part):
    """All members answer, and a combiner makes one answer of theirs.

    The first member leads: answers and records name its version, or the first one that answered if it did not.
    soft: weighted mean of the probabilities, the largest one gives the class. hard: each member votes for its class
    with its weight. mean: weighted mean of the values of regressions.
    """

    kind: Literal["ensemble"] = "ensemble"
    combiner: Literal["soft", "hard", "mean"] = "soft"
    quorum: int = Field(default=1, ge=1, le=MAX_MEMBERS)
    """Members that must answer, or the ensemble has failed."""
    deadline_ms: TimeoutMs | None = None
    """Members that have not answered by then do not vote; None takes the route's time limit."""
    members: tuple[Member, ...] = Field(min_length=1, max_length=MAX_MEMBERS)

    @model_validator(mode="after")
    def _can_vote(self) -> Self:
        voters = sum(member.weight > 0 for member in self.members)
        if not voters:
            raise ValueError("members: all weights are 0; at least one member needs a weight")
        if self.quorum > voters:
            raise ValueError(f"quorum: {self.quorum} of {voters} members with a weight; lower it or add members")
        return self


class Prompt(Part):
    """A version of a prompt in front of a model. Not executed by this release."""

    kind: Literal["prompt"] = "prompt"
    prompt: str = Field(pattern=REFERENCE_PATTERN)
    version: VersionNumber
    digest: str | None = Field(default=None, pattern=DIGEST_PATTERN)
    node: "Node"


Node = Annotated[
    VersionLeaf | ModelLeaf | Split | Rules | Fallback | Shadow | Cascade | Ensemble | Prompt,
    Field(discriminator="kind"),
]


class RoutePlan(Document):
    """What routers execute for one route; `RoutePublished.plan` holds its canonical JSON."""

    DOCUMENT: ClassVar[str] = "route plan"

    root: Node

    @model_validator(mode="after")
    def _is_expanded(self) -> Self:
        _check_limits(self.root)
        for place, node in walk(self.root):
            if isinstance(node, ModelLeaf):  # pydantic turns a ValueError, not a TypeError, into its own error
                raise ValueError(f"{place}: a plan's leaves are versions, not models")  # noqa: TRY004
            if isinstance(node, VersionLeaf) and not (node.digest and node.feature_schema_id):
                raise ValueError(f"{place}: needs digest and feature_schema_id")
        return self


class RouteSpec(Document):
    """What a person asks of a route; the deployer expands it into a RoutePlan.

    A `model` leaf stands for the model's live versions as its rollouts split them, a `version` leaf pins one.
    """

    DOCUMENT: ClassVar[str] = "route specification"

    root: Node
    timeout_ms: TimeoutMs = TIMEOUT_MS
    """For an answer, of a text for its first piece. Left out, it follows the versions that the route carries."""

    @model_validator(mode="after")
    def _has_no_addresses(self) -> Self:
        _check_limits(self.root)
        for place, node in walk(self.root):
            if isinstance(node, VersionLeaf) and (node.urls or node.digest or node.feature_schema_id or node.managed):
                raise ValueError(f"{place}: give model and version only; the deployer adds digest and addresses")
        return self


UNSUPPORTED: Final = frozenset({"cascade", "prompt"})


def children(node: Part) -> Iterator[tuple[str, Part]]:
    """Direct children of a node with the field that holds each, such as `arms[0].node`."""
    for field in type(node).model_fields:
        value = getattr(node, field)
        if isinstance(value, Part) and hasattr(value, "kind"):
            yield field, value
        elif isinstance(value, tuple):
            for place, item in enumerate(value):
                if isinstance(item, Part) and hasattr(item, "kind"):
                    yield f"{field}[{place}]", item
                elif isinstance(item, Part) and hasattr(item, "node"):
                    yield f"{field}[{place}].node", item.node


def walk(node: Part, field: str = "root") -> Iterator[tuple[str, Part]]:
    """A node and all below it, each with its place such as `root.arms[0].node`."""
    yield field, node
    for place, child in children(node):
        yield from walk(child, f"{field}.{place}")


def unsupported(root: Part) -> str | None:
    """Why this release cannot execute a tree, or None: names the first node that it does not execute."""
    for place, node in walk(root):
        if (kind := getattr(node, "kind", "")) in UNSUPPORTED:
            return f"{kind} at {place}: not executed by this release; see the nodes in docs/routes.md"
    return None


def _check_limits(root: Part) -> None:
    """Raise ValueError when a tree is deeper or larger than a router accepts."""
    if _depth(root) > MAX_DEPTH:
        raise ValueError(f"root: more than {MAX_DEPTH} nodes deep")
    leaves = sum(1 for _, node in walk(root) if not any(True for _ in children(node)))
    if leaves > MAX_LEAVES:
        raise ValueError(f"root: {leaves} leaves, at most {MAX_LEAVES}")


def _depth(node: Part) -> int:
    return 1 + max((_depth(child) for _, child in children(node)), default=0)
