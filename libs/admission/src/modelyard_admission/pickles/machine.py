"""The unpickler's stack, marks and memo."""

from modelyard_admission.errors import Malformed
from modelyard_admission.pickles.values import Value

MAX_MEMO_INDEX = 2**26
"""The unpickler allocates memory up to the largest index that a pickle names."""


class Machine:
    """Stack and memo with the semantics of `pickle._Unpickler`. Malformed where that raises."""

    def __init__(self) -> None:
        self.stack: list[Value] = []
        self._below: list[list[Value]] = []
        self.memo: dict[int, Value] = {}

    def mark(self) -> None:
        self._below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Value]:
        """Values since the last mark."""
        if not self._below:
            raise Malformed("a mark is missing on the stack")
        values = self.stack
        self.stack = self._below.pop()
        return values

    def pop(self) -> Value:
        if not self.stack:
            raise Malformed("the stack is empty")
        return self.stack.pop()

    def top(self) -> Value:
        if not self.stack:
            raise Malformed("the stack is empty")
        return self.stack[-1]

    def discard(self) -> None:
        """The opcode POP: a value, or the mark when none is above it."""
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def remember(self, index: int) -> None:
        if not 0 <= index <= MAX_MEMO_INDEX:
            raise Malformed(f"memo index {index} is out of range")
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise Malformed(f"memo index {index} is read before it is written")
        self.stack.append(self.memo[index])
