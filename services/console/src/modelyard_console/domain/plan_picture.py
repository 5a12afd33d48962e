"""Layout of a plan as a picture: boxes from left to right, one row per leaf. Lengths in pixels."""

from collections.abc import Collection
from textwrap import wrap
from typing import Final

from modelyard_console.domain import links
from modelyard_console.domain.picture import BOX_HEIGHT, BOX_WIDTH, MARGIN, Box, Branch, Picture, cut
from modelyard_console.domain.plan_tree import PlanNode

GAP_X: Final = 140
"""Room for the words of a branch."""
GAP_Y: Final = 16
BRANCH_CHARACTERS: Final = 19


def draw(tree: PlanNode, chosen: Collection[str] = ()) -> Picture:
    """The picture of a plan. chosen: paths of versions to mark, and with them the ways that lead there."""
    pen = _Pen(chosen)
    pen.place(tree, 0)
    return Picture(tuple(pen.boxes), tuple(pen.branches))


class _Pen:
    """Places nodes depth first: leaves take the next row, nodes above are centred beside theirs."""

    def __init__(self, chosen: Collection[str]) -> None:
        self._chosen, self._rows = chosen, 0
        self.boxes: list[Box] = []
        self.branches: list[Branch] = []

    def place(self, node: PlanNode, depth: int) -> Box:
        below = [self.place(child, depth + 1) for child in node.nodes]
        if below:
            y = (below[0].y + below[-1].y) // 2
        else:
            y = MARGIN + self._rows * (BOX_HEIGHT + GAP_Y)
            self._rows += 1
        chosen = node.path in self._chosen if not node.nodes else any(child.chosen for child in below)
        x = MARGIN + depth * (BOX_WIDTH + GAP_X)
        box = Box.of(x, y, node.title, node.details, _link(node), chosen=chosen)
        self.boxes.append(box)
        self.branches += [_branch(box, child, one.branch) for child, one in zip(below, node.nodes, strict=True)]
        return box


def _link(node: PlanNode) -> str:
    if node.model and node.version:
        return links.version(node.model, node.version)
    return links.model(node.model) if node.kind == "model" and node.model else ""


def _branch(parent: Box, child: Box, text: str) -> Branch:
    (x1, y1), (x2, y2) = parent.right, child.left
    bend = x1 + 14
    words = wrap(text, BRANCH_CHARACTERS)
    above, below = words[0] if words else "", cut(" ".join(words[1:]), BRANCH_CHARACTERS)
    return Branch(
        d=f"M{x1} {y1}H{bend}V{y2}H{x2}",
        lines=tuple((bend + 6, y, line) for y, line in ((y2 - 5, above), (y2 + 13, below)) if line),
        full=text,
        chosen=child.chosen,
    )
