"""Findings of arrays of numpy, and of skops files, which hold arrays and a description in JSON."""

from collections.abc import Iterator
from typing import Any, Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.notes import Job, Note, Verdict
from modelyard_admission.pickles.lists import judge
from modelyard_admission.pickles.streams import walk
from modelyard_admission.pickles.values import Name
from modelyard_admission.readers.npy import read_array
from modelyard_admission.readers.texts import read_json
from modelyard_admission.readers.zips import Archive, read_zip, unpack
from modelyard_admission.scanners.archives import zip_notes
from modelyard_admission.scanners.pickles import stream_notes

LOADERS: Final = frozenset(
    {
        "BytearrayNode",
        "BytesNode",
        "CachedNode",
        "ConstructorFromReduceNode",
        "DTypeNode",
        "DefaultDictNode",
        "DictNode",
        "FunctionNode",
        "JsonNode",
        "ListNode",
        "LossNode",
        "MaskedArrayNode",
        "NdArrayNode",
        "ObjectNode",
        "PartialNode",
        "RandomGeneratorNode",
        "RandomStateNode",
        "SetNode",
        "SliceNode",
        "SparseMatrixNode",
        "TreeNode",
        "TupleNode",
        "TypeNode",
        "_DictWithDeprecatedKeysNode",
    }
)
"""Ways of building an object of skops 0.16 that call nothing but the named type. Not on it: MethodNode and
OperatorFuncNode, which reach attributes by name."""
MAX_SCHEMA_DEPTH: Final = 400
_SCHEMA: Final = "schema.json"
_JSON_CLASSES: Final = frozenset({"builtins.NoneType", "builtins.function", "builtins.type", "functools.partial"})


def scan_npy(data: Data, job: Job) -> Iterator[Note]:
    """Numbers are data; objects are a pickle, which numpy loads with allow_pickle only."""
    array = read_array(data)
    if array.item_bytes is not None:
        return
    streams = walk(data[array.start :], job.budget)
    yield Note("npy-objects", Verdict.SUSPICIOUS, "holds Python objects, which are a pickle")
    yield from stream_notes(streams, torch=False)
    if streams.end != len(data) - array.start:
        yield Note("npy-objects", Verdict.INCOMPLETE, "holds other bytes than its objects")


def scan_skops(data: Data, job: Job) -> Iterator[Note]:
    """Every type that the description names, by the same lists as for pickles; every array."""
    archive = read_zip(data, job.budget)
    yield from zip_notes(archive)
    yield from _schema_notes(_schema(archive, job))
    for member in archive.members:
        if member.name.endswith(".npy"):
            yield from job.nested(unpack(archive, member, job.budget), member.name)
        elif member.name != _SCHEMA:
            yield Note(
                "skops-member",
                Verdict.INCOMPLETE,
                "holds a member that is neither the schema nor an array",
                member.name,
            )


def _schema(archive: Archive, job: Job) -> Any:
    member = archive.find(_SCHEMA)
    if member is None:
        raise Malformed(f"holds no {_SCHEMA}")
    return read_json(unpack(archive, member, job.budget), job.budget.limits.text_bytes)


def _schema_notes(schema: Any) -> Iterator[Note]:
    seen: set[tuple[str, str]] = set()
    for node in nodes(schema):
        loader = str(node.get("__loader__", ""))
        name = Name(
            str(node.get("__module__", node.get("module_path"))), str(node.get("__class__", node.get("function")))
        )
        if (loader, name.full) not in seen:
            seen.add((loader, name.full))
            yield from _node_notes(loader, name)


def _node_notes(loader: str, name: Name) -> Iterator[Note]:
    if loader and loader not in LOADERS:
        yield Note(
            "skops-loader", Verdict.SUSPICIOUS, f"builds {name.full[:200]} by {loader[:100]}, which is on no list"
        )
    verdict = judge(name)
    if verdict > Verdict.ALLOW_LISTED and not (name.full in _JSON_CLASSES and loader in LOADERS):
        rule = "skops-dangerous-type" if verdict is Verdict.MALICIOUS else "skops-unlisted-type"
        yield Note(rule, verdict, f"builds {name.full[:200]}, which is not on the allow list")


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object of the description that names a type or a function; iterative, so that depth cannot exhaust it."""
    waiting = [(schema, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_SCHEMA_DEPTH:
            raise Malformed(f"nests objects deeper than {MAX_SCHEMA_DEPTH}")
        if isinstance(value, dict):
            if {"__module__", "__class__", "__loader__", "module_path", "function"} & set(value):
                yield value
            waiting.extend((child, depth + 1) for child in value.values())
        elif isinstance(value, list):
            waiting.extend((child, depth + 1) for child in value)
