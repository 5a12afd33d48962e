"""Which members of an ensemble one call asks: versions in the same model servers that take the same request."""

from collections.abc import Sequence

from modelyard_contracts.inference import versions_segment
from modelyard_router.domain.leaves import Group, Leaf
from modelyard_router.plan.nodes import MemberNode


def groups_of(members: Sequence[MemberNode]) -> tuple[Group, ...]:
    """Groups of two members or more. A member with a time limit of its own is asked alone."""
    found: dict[tuple[object, ...], dict[int, Leaf]] = {}
    for place, member in enumerate(members):
        leaf = member.node
        if isinstance(leaf, Leaf) and leaf.addresses and leaf.timeout_s is None:
            key = leaf.model, leaf.addresses, leaf.contract
            group = found.setdefault(key, {})
            if all(leaf.version != other.version for other in group.values()):
                group[place] = leaf
    return tuple(_group(group) for group in found.values() if len(group) > 1)


def _group(members: dict[int, Leaf]) -> Group:
    leaves = tuple(members.values())
    versions = versions_segment(leaf.version for leaf in leaves).encode()
    heads = tuple(head.before + versions + head.after for head in leaves[0].group_head)
    return Group(tuple(members), leaves, heads)
