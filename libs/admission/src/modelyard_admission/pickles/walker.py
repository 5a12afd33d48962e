"""Walk one pickle stream opcode by opcode, without building anything.

The walk follows `pickle._Unpickler` (protocols 0 to 5): stack, marks, memo, and which object each opcode calls or
changes. It stops with Malformed where the unpickler would raise. Whatever the stream imports, calls or changes by then
is in the record, as the unpickler would have done it before it raised.
"""

import _compat_pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.limits import Budget
from modelyard_admission.pickles import arguments as read
from modelyard_admission.pickles.literals import LITERALS, number_run
from modelyard_admission.pickles.machine import Machine
from modelyard_admission.pickles.values import Items, Made, Name, Persistent, Table, Value

OPCODES_PER_CHECK: Final = 100_000

Event = tuple[int, str]
"""(offset in bytes, description) of something that no ordinary pickle does."""


@dataclass(slots=True)
class Record:
    """What one stream does up to `end`."""

    start: int
    end: int
    names: dict[Name, int] = field(default_factory=dict)
    """Imported globals and the offset of their first import."""
    hostile: list[Event] = field(default_factory=list)
    odd: list[Event] = field(default_factory=list)
    calls: int = 0
    persistent: list[Persistent] = field(default_factory=list)
    error: str | None = None
    """Why the walk ended before STOP."""
    result: Value = None

    @property
    def complete(self) -> bool:
        return self.error is None


ReadArray = Callable[[Made, int], int]
"""Position after the bytes that a loader reads after it has built an object; unchanged when it reads none."""


def no_array(_: Made, at: int) -> int:
    """A plain unpickler reads nothing between opcodes."""
    return at


class _Stop(Exception):
    pass


class Walker:
    """One walk; `run` returns its record."""

    def __init__(self, data: Data, start: int, budget: Budget, read_array: ReadArray = no_array) -> None:
        self.data, self.start, self.budget, self.read_array = data, start, budget, read_array
        self.machine = Machine()
        self.protocol = 0
        self.record = Record(start, start)
        self.at = start
        self.handlers = _bind(self)

    def run(self) -> Record:
        try:
            while True:
                self._some()
        except _Stop:
            pass
        except Malformed as error:
            self.record.error = f"{error} (byte {self.at})"
        self.record.end = self.at
        return self.record

    def _some(self) -> None:
        """Run opcodes until it is time to look at the clock."""
        data, handlers, end = self.data, self.handlers, len(self.data)
        for _ in range(OPCODES_PER_CHECK):
            if self.at >= end:
                raise Malformed("ends before its STOP opcode")
            handler = handlers[data[self.at]]
            self.at = handler(self.at + 1)
        self.budget.check_time()

    # Opcodes: each takes the position of its argument and returns the position of the next opcode.

    def unknown(self, at: int) -> int:
        raise Malformed(f"has an unknown opcode 0x{self.data[at - 1]:02x}")

    def proto(self, at: int) -> int:
        self.protocol, at = read.unsigned(self.data, at, 1)
        if self.protocol > 5:
            raise Malformed(f"has protocol {self.protocol}; 5 is the newest")
        return at

    def frame(self, at: int) -> int:
        return read.unsigned(self.data, at, 8)[1]

    def stop(self, at: int) -> int:
        self.record.result = self.machine.pop()
        self.at = at
        raise _Stop

    def mark(self, at: int) -> int:
        self.machine.mark()
        return at

    def pop(self, at: int) -> int:
        self.machine.discard()
        return at

    def pop_mark(self, at: int) -> int:
        self.machine.pop_mark()
        return at

    def dup(self, at: int) -> int:
        self.machine.stack.append(self.machine.top())
        return at

    def literal(self, at: int) -> int:
        """A value that the stream spells out."""
        value, end = LITERALS[self.data[at - 1]](self.data, at)
        self.machine.stack.append(value)
        return end

    def numbers(self, at: int) -> int:
        """A number of fixed width, and all numbers of the same kind that follow at once."""
        values, end = number_run(self.data, at)
        self.machine.stack.extend(values)
        return end

    def buffer(self, at: int) -> int:
        raise Malformed("needs buffers that are not in the file (protocol 5, out of band)")

    def empty(self, at: int) -> int:
        self.machine.stack.append(Table() if self.data[at - 1] == 0x7D else Items())
        return at

    def collect_list(self, at: int) -> int:
        values = self.machine.pop_mark()  # first: it replaces the stack
        self.machine.stack.append(Items(values))
        return at

    def collect_tuple(self, at: int) -> int:
        values = tuple(self.machine.pop_mark())
        self.machine.stack.append(values)
        return at

    def short_tuple(self, at: int) -> int:
        size = self.data[at - 1] - 0x84
        values = [self.machine.pop() for _ in range(size)]
        self.machine.stack.append(tuple(reversed(values)))
        return at

    def collect_dict(self, at: int) -> int:
        table = Table()
        _put_pairs(table, self.machine.pop_mark())
        self.machine.stack.append(table)
        return at

    def append(self, at: int) -> int:
        values = [self.machine.pop()]
        self._add(values)
        return at

    def appends(self, at: int) -> int:
        self._add(self.machine.pop_mark())
        return at

    def _add(self, values: list[Value]) -> None:
        target = self.machine.top()
        if isinstance(target, Items):
            target.values.extend(values)
        elif isinstance(target, Made):
            target.items.extend(values)
        else:
            self._changed(target)

    def set_item(self, at: int) -> int:
        value, key = self.machine.pop(), self.machine.pop()
        self._put([key, value])
        return at

    def set_items(self, at: int) -> int:
        self._put(self.machine.pop_mark())
        return at

    def _put(self, pairs: list[Value]) -> None:
        target = self.machine.top()
        if isinstance(target, Table):
            _put_pairs(target, pairs)
        elif isinstance(target, Made):
            _put_pairs(target.table, pairs)
        else:
            self._changed(target)

    def _changed(self, target: Value) -> None:
        if isinstance(target, Name):
            self.record.hostile.append((self.at, f"changes {target.full} itself"))
        elif not isinstance(target, Persistent):
            raise Malformed("changes a value that cannot be changed")

    def put_line(self, at: int) -> int:
        raw, end = read.line(self.data, at)
        self.machine.remember(_index(read.integer(raw.strip())))
        return end

    def put(self, at: int) -> int:
        index, end = read.unsigned(self.data, at, 1 if self.data[at - 1] == 0x71 else 4)
        self.machine.remember(index)
        return end

    def memoize(self, at: int) -> int:
        self.machine.remember(len(self.machine.memo))
        return at

    def get_line(self, at: int) -> int:
        raw, end = read.line(self.data, at)
        self.machine.recall(_index(read.integer(raw.strip())))
        return end

    def get(self, at: int) -> int:
        index, end = read.unsigned(self.data, at, 1 if self.data[at - 1] == 0x68 else 4)
        self.machine.recall(index)
        return end

    def global_lines(self, at: int) -> int:
        module, name, end = self._two_lines(at)
        self._import(module, name)
        return end

    def _two_lines(self, at: int) -> tuple[str, str, int]:
        module, at = read.line(self.data, at)
        name, at = read.line(self.data, at)
        return read.decoded(module, "utf-8"), read.decoded(name, "utf-8"), at

    def stack_global(self, at: int) -> int:
        name, module = self.machine.pop(), self.machine.pop()
        if isinstance(name, str) and isinstance(module, str):
            self._import(module, name)
            return at
        self.record.hostile.append((self.at, "imports a global whose name it computes"))
        self.machine.stack.append(Name("(computed)", "(computed)"))
        return at

    def _import(self, module: str, name: str) -> Name:
        found = Name(*self._renamed(module, name))
        self.record.names.setdefault(found, self.at)
        self.machine.stack.append(found)
        return found

    def _renamed(self, module: str, name: str) -> tuple[str, str]:
        """Names of Python 2, which the unpickler translates in protocols 0 to 2."""
        if self.protocol >= 3:
            return module, name
        if (module, name) in _compat_pickle.NAME_MAPPING:
            return _compat_pickle.NAME_MAPPING[module, name]
        return _compat_pickle.IMPORT_MAPPING.get(module, module), name

    def extension(self, at: int) -> int:
        code, end = read.unsigned(self.data, at, {0x82: 1, 0x83: 2, 0x84: 4}[self.data[at - 1]])
        self.record.hostile.append((self.at, f"imports through code {code} of the extension registry"))
        self.machine.stack.append(Name("(extension)", str(code)))
        return end

    def reduce(self, at: int) -> int:
        given, callee = self.machine.pop(), self.machine.pop()
        return self._call(callee, given, at)

    def new_object_ex(self, at: int) -> int:
        keywords, given, callee = self.machine.pop(), self.machine.pop(), self.machine.pop()
        return self._call(callee, (given, keywords), at)

    def obj(self, at: int) -> int:
        values = self.machine.pop_mark()
        if not values:
            raise Malformed("the stack is empty")
        return self._call(values[0], tuple(values[1:]), at)

    def inst(self, at: int) -> int:
        module, name, end = self._two_lines(at)
        given = tuple(self.machine.pop_mark())
        callee = self._import(module, name)
        self.machine.pop()
        return self._call(callee, given, end)

    def _call(self, callee: Value, given: Value, at: int) -> int:
        self.record.calls += 1
        if not isinstance(callee, Name):
            self.record.odd.append((self.at, "calls an object that it computes"))
        self.machine.stack.append(Made(callee, given))
        return at

    def build(self, at: int) -> int:
        state, target = self.machine.pop(), self.machine.top()
        self.record.calls += 1
        if not isinstance(target, Made):
            self._changed(target)
            return at
        target.state = state
        return self.read_array(target, at)

    def persistent_line(self, at: int) -> int:
        raw, end = read.line(self.data, at)
        return self._persistent(read.decoded(raw, "ascii"), end)

    def persistent_id(self, at: int) -> int:
        return self._persistent(self.machine.pop(), at)

    def _persistent(self, identity: Value, at: int) -> int:
        found = Persistent(identity)
        self.record.persistent.append(found)
        self.machine.stack.append(found)
        return at


def _put_pairs(table: Table, pairs: list[Value]) -> None:
    if len(pairs) % 2:
        raise Malformed("has a key without its value")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        table.put(key, value)


def _index(value: Value) -> int:
    if not isinstance(value, int):
        raise Malformed("has a memo index that is no number")
    return value


_OPCODES: Final[dict[bytes, str]] = {
    b"\x80": "proto", b"\x95": "frame", b".": "stop", b"(": "mark", b"0": "pop", b"1": "pop_mark", b"2": "dup",
    bytes(LITERALS): "literal", b"GJMK": "numbers", b"\x97\x98": "buffer", b"]}\x8f": "empty", b"l\x91": "collect_list",
    b"t": "collect_tuple", b"\x85\x86\x87": "short_tuple", b"d": "collect_dict", b"a": "append", b"e\x90": "appends",
    b"s": "set_item", b"u": "set_items", b"p": "put_line", b"qr": "put", b"\x94": "memoize", b"g": "get_line",
    b"hj": "get", b"c": "global_lines", b"\x93": "stack_global", b"\x82\x83\x84": "extension", b"R\x81": "reduce",
    b"\x92": "new_object_ex", b"o": "obj", b"i": "inst", b"b": "build", b"P": "persistent_line", b"Q": "persistent_id",
}  # fmt: skip


def _bind(walker: Walker) -> list[Callable[[int], int]]:
    """Handlers by opcode; a code of no opcode is refused."""
    handlers: list[Callable[[int], int]] = [walker.unknown] * 256
    for codes, method in _OPCODES.items():
        for code in codes:
            handlers[code] = getattr(walker, method)
    return handlers
