"""Conditions of rules, evaluated on the facts of a request."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from modelyard_contracts.routes import Comparison, Condition
from modelyard_router.plan.facts import Facts

Check = Callable[[Facts], bool]
_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def compile_condition(condition: Condition) -> Check:
    """A function that returns whether the condition holds; a comparison with a missing fact is false."""
    if condition.compare is not None:
        return _comparison(condition.compare)
    if condition.all is not None:
        every = [compile_condition(part) for part in condition.all]
        return lambda facts: all(check(facts) for check in every)
    if condition.any is not None:
        some = [compile_condition(part) for part in condition.any]
        return lambda facts: any(check(facts) for check in some)
    if condition.negate is None:
        raise ValueError("an empty condition")
    inner = compile_condition(condition.negate)
    return lambda facts: not inner(facts)


def _comparison(compare: Comparison) -> Check:
    fact, test = compare.fact, _test(compare.op, compare.value)

    def check(facts: Facts) -> bool:
        value = facts.get(fact)
        return value is not None and test(value)

    return check


def _test(op: str, wanted: Any) -> Callable[[Any], bool]:
    """The comparison of a present value."""
    if op == "exists":
        return lambda value: True
    if op == "eq":
        return lambda value: _same(value, wanted)
    if op == "ne":
        return lambda value: not _same(value, wanted)
    if op == "in":
        return lambda value: any(_same(value, one) for one in wanted)
    if op == "prefix":
        return lambda value: isinstance(value, str) and value.startswith(wanted)
    compare = _ORDER[op]

    def ordered(value: Any) -> bool:
        number = _number(value)
        return number is not None and compare(number, wanted)

    return ordered


def _same(value: Any, wanted: Any) -> bool:
    """Equal, where headers, which are always text, may be compared with numbers; a boolean equals only a boolean."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(wanted, float) and isinstance(value, str):
        return _number(value) == wanted
    return bool(value == wanted)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
