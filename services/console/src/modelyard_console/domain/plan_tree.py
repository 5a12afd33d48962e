"""A route's plan or specification as a tree with words, read tolerantly: nodes of a newer release are shown, too."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from modelyard_console.domain.formats import number, percent, words

MAX_DEPTH: Final = 12
"""Deeper nodes are left out; routers accept 8."""
OPERATORS: Final = {"eq": "=", "ne": "is not", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "in": "is one of"}
Json = Mapping[str, Any]


@dataclass(frozen=True)
class PlanNode:
    """One node of a plan, and the branch that leads to it."""

    kind: str
    title: str
    details: tuple[str, ...] = ()
    model: str = ""
    version: int | None = None
    branch: str = ""
    """Why the node above leads here: a rule with its condition, a share of the requests, an order."""
    path: str = ""
    """As routers name it, such as `split:canary`."""
    nodes: tuple["PlanNode", ...] = ()

    def leaves(self) -> Iterator["PlanNode"]:
        """Nodes without nodes below, in order."""
        if not self.nodes:
            yield self
        for node in self.nodes:
            yield from node.leaves()


@dataclass(frozen=True)
class _Step:
    """The way into a node."""

    branch: str = ""
    path: str = ""
    depth: int = 0

    def into(self, name: str, branch: str) -> "_Step":
        return _Step(branch, f"{self.path}/{name}" if self.path else name, self.depth + 1)


Children = list[tuple[Any, _Step]]


def read_plan(root: object) -> PlanNode | None:
    """The tree of a `root` as JSON; None without one."""
    return _node(root, _Step()) if isinstance(root, Mapping) else None


def chosen_paths(explained: Json) -> set[str]:
    """Paths of the versions that an explanation chose: one, or all members of a vote."""
    members = {str(member["path"]) for step in explained["steps"] for member in step.get("members") or ()}
    return members or {str(explained["chosen"]["path"])}


def plan_summary(tree: PlanNode | None) -> str:
    """A plan in one line: its first choice, and all versions and models that it names."""
    if tree is None:
        return "no plan"
    leaves = list(dict.fromkeys(leaf.title for leaf in tree.leaves()))
    named = ", ".join(leaves[:4]) + (f" and {len(leaves) - 4} more" if len(leaves) > 4 else "")
    return named if not tree.nodes else f"{tree.title}: {named}"


def _node(node: Any, step: _Step) -> PlanNode:
    known = node if isinstance(node, Mapping) else {}
    kind = str(known.get("kind") or "unknown")
    describe = _KINDS.get(kind, _unknown)
    title, details, children = describe(known, step)
    return PlanNode(
        kind=kind,
        title=title,
        details=tuple(details),
        model=str(known.get("model") or ""),
        version=known.get("version") if kind == "version" and isinstance(known.get("version"), int) else None,
        branch=step.branch,
        path=step.path,
        nodes=tuple(_node(child, into) for child, into in children if into.depth < MAX_DEPTH),
    )


Described = tuple[str, Sequence[str], Children]


def _version(node: Json, _: _Step) -> Described:
    urls, variant = node.get("urls") or (), str(node.get("variant") or "")
    replicas = f"{len(urls)} replica{'s' if len(urls) != 1 else ''}" if node.get("digest") else ""
    details = [text for text in (variant if variant != "stable" else "", replicas) if text]
    return f"{node.get('model', '')} v{node.get('version', '?')}", details, []


def _model(node: Json, _: _Step) -> Described:
    return str(node.get("model", "")), ["versions of its rollouts"], []


def _split(node: Json, step: _Step) -> Described:
    children = []
    for arm in _parts(node, "arms"):
        name, share = arm.get("name"), percent(_float(arm.get("weight")))
        children.append((arm.get("node"), step.into(f"split:{name}", f"{share} {name}")))
    title = "Draw one member" if node.get("draw") else "Split"
    return title, [f"by {words(node.get('unit') or 'entity')}"], children


def _rules(node: Json, step: _Step) -> Described:
    children = []
    for rule in _parts(node, "rules"):
        name = rule.get("name")
        children.append((rule.get("node"), step.into(f"rules:{name}", f"{name}: {condition(rule.get('when'))}")))
    children.append((node.get("otherwise"), step.into("rules:otherwise", "otherwise")))
    return "Rules", ["the first that holds"], children


def _fallback(node: Json, step: _Step) -> Described:
    nodes = node.get("nodes") or ()
    on = ", ".join(words(one) for one in node.get("on") or ())
    budget = f"retries: {percent(_float(node.get('retry_budget')))} of requests at most"
    children = [
        (child, step.into(f"fallback:{place}", "first" if place == 0 else f"{place + 1}. after a failure"))
        for place, child in enumerate(nodes)
    ]
    return "Fallback", [text for text in (f"on {on}" if on else "", budget) if text], children


def _shadow(node: Json, step: _Step) -> Described:
    children = [(node.get("main"), step.into("shadow:main", "answers"))]
    for copy in _parts(node, "copies"):
        name, share = copy.get("name"), percent((_float(copy.get("percent")) or 0.0) / 100)
        children.append((copy.get("node"), step.into(f"shadow:{name}", f"{share} copied, {name}")))
    return "Shadow", ["copies are only logged"], children


def _ensemble(node: Json, step: _Step) -> Described:
    members = _parts(node, "members")
    weights = [_float(member.get("weight", 1.0)) or 0.0 for member in members]
    children = [
        (member.get("node"), step.into(f"ensemble:{place}", f"{percent(weight / (sum(weights) or 1.0))} of the vote"))
        for place, (member, weight) in enumerate(zip(members, weights, strict=True))
    ]
    limit = node.get("deadline_ms")
    details = [f"{words(node.get('combiner') or 'soft')}, quorum {node.get('quorum', 1)}"]
    return "Vote", details + ([f"at most {number(_float(limit))} ms"] if limit else []), children


def _cascade(node: Json, step: _Step) -> Described:
    limit = number(_float(node.get("threshold")))
    children = [
        (node.get("first"), step.into("cascade:first", f"answers from score {limit}")),
        (node.get("then"), step.into("cascade:then", "otherwise")),
    ]
    return "Cascade", ["the cheap version first"], children


def _prompt(node: Json, step: _Step) -> Described:
    title = f"Prompt {node.get('prompt', '')} v{node.get('version', '?')}"
    return title, [], [(node.get("node"), step.into("prompt", ""))]


def _unknown(node: Json, step: _Step) -> Described:
    """A node of a newer release: its kind, and whatever nodes are below it."""
    children = [
        (child, step.into(name, words(name)))
        for name, value in node.items()
        for child in (value if isinstance(value, list | tuple) else [value])
        if isinstance(child, Mapping) and "kind" in child
    ]
    return words(node.get("kind") or "unknown node").capitalize(), ["not known to this console"], children


_KINDS: Final[Mapping[str, Callable[[Json, _Step], Described]]] = {
    "version": _version,
    "model": _model,
    "split": _split,
    "rules": _rules,
    "fallback": _fallback,
    "shadow": _shadow,
    "ensemble": _ensemble,
    "cascade": _cascade,
    "prompt": _prompt,
}


def _parts(node: Json, name: str) -> list[Json]:
    """The objects of a list."""
    found = node.get(name)
    return [part for part in found if isinstance(part, Mapping)] if isinstance(found, list | tuple) else []


def condition(when: object) -> str:
    """The condition of a rule in words: `plan = gold and not (age < 18)`."""
    if not isinstance(when, Mapping):
        return "?"
    compare = when.get("compare") or (when if "fact" in when else None)
    if isinstance(compare, Mapping):
        return _comparison(compare)
    for name, word in (("all", " and "), ("any", " or ")):
        if parts := when.get(name):
            return word.join(_within(part) for part in parts)
    if negated := when.get("not") or when.get("negate"):
        return f"not ({condition(negated)})"
    return "always"


def _within(part: object) -> str:
    text = condition(part)
    joined = isinstance(part, Mapping) and (part.get("all") or part.get("any"))
    return f"({text})" if joined else text


def _comparison(compare: Json) -> str:
    fact, op, value = str(compare.get("fact", "?")), str(compare.get("op", "?")), compare.get("value")
    name = fact.removeprefix("feature:")
    if op == "exists":
        return f"{name} is given"
    shown = ", ".join(_value(one) for one in value) if isinstance(value, list | tuple) else _value(value)
    return f"{name} {OPERATORS.get(op, 'begins with' if op == 'prefix' else op)} {shown}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return number(value) if isinstance(value, int | float) else str(value)


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
