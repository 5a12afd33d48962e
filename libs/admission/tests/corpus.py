"""Hostile files, made by code and never loaded: one per way around a scanner that is publicly known.

Sources: modelscan issues 330 and 338, advisories of picklescan, tests of fickling, CVE-2025-1550 (Keras),
CVE-2024-5187 (ONNX), the safetensors audit of 2023.
"""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Final

import joblib
import numpy as np

Maker = Callable[[], bytes]


class Call:
    """Pickles as a call of `function`; it is never unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def short(text: str) -> bytes:
    raw = text.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def call(module: str, name: str, argument: str = "true") -> bytes:
    """A whole pickle of protocol 4 that calls `module.name(argument)`."""
    return b"\x80\x04" + short(module) + short(name) + b"\x93" + short(argument) + b"\x85R."


SYSTEM: Final = call("posix", "system")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def torch_zip(pickled: bytes, **others: bytes) -> bytes:
    return zipped({"m/data.pkl": pickled, "m/version": b"3\n", "m/byteorder": b"little", **others})


def old_torch(pickled: bytes) -> bytes:
    """The five streams of torch before 1.6: magic number, protocol, system, object, keys of the storages."""
    head: list[object] = [0x1950A86A20F9469CFC6C, 1001, {}]
    return b"".join(pickle.dumps(part, 2) for part in head) + pickled + pickle.dumps([])


def tarred(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def joblib_with(payload: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump([np.arange(20.0), payload, np.arange(3)], buffer)
    return buffer.getvalue()


def joblib_objects() -> bytes:
    buffer = io.BytesIO()
    joblib.dump(np.array([Call(exec, "1"), None], dtype=object), buffer)
    return buffer.getvalue()


def joblib_two_readings() -> bytes:
    """joblib takes the bytes of the array for numbers, a plain unpickler for opcodes."""
    hidden = SYSTEM.removeprefix(b"\x80\x04").removesuffix(b".") + b"0"
    dtype = short("numpy") + short("dtype") + b"\x93" + short("u1") + b"\x89\x88\x87R"
    state = b"}(" + short("dtype") + dtype + short("shape") + b"K" + bytes([len(hidden)]) + b"\x85u"
    wrapper = short("joblib.numpy_pickle") + short("NumpyArrayWrapper") + b"\x93)\x81"
    return b"\x80\x04" + wrapper + state + b"b" + hidden + b"."


def broken_checksum() -> bytes:
    content = bytearray(torch_zip(SYSTEM))
    for signature, offset in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = content.index(signature) + offset
        content[at : at + 4] = b"\x01\x02\x03\x04"
    return bytes(content)


def disagreeing_headers() -> bytes:
    """The local header names another member than the directory."""
    content = torch_zip(SYSTEM)
    return content.replace(b"m/data.pkl", b"m/safe.txt", 1)


def doubled_members() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}.")
        archive.writestr("m/DATA.pkl", SYSTEM)
    return buffer.getvalue()


def encrypted_member() -> bytes:
    content = bytearray(torch_zip(SYSTEM))
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def safetensors(header: object, body: bytes) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def tensor(start: int, end: int, **changes: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end], **changes}


def field(number: int, content: bytes | int) -> bytes:
    """A field of a protocol buffer, shorter than 128 bytes."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    return bytes([number << 3 | 2, len(content)]) + content


def onnx(*, location: bytes = b"", domain: bytes = b"") -> bytes:
    external = field(13, field(1, b"location") + field(2, location)) + field(14, 1) if location else b""
    initializer = field(1, 4) + field(2, 1) + field(8, b"w") + external
    node = field(4, b"Add") + (field(7, domain) if domain else b"")
    return field(1, 8) + field(7, field(1, node) + field(5, initializer)) + field(8, field(2, 17))


def keras(layer: dict[str, object]) -> bytes:
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}
    return zipped(
        {"metadata.json": b"{}", "config.json": json.dumps(config).encode(), "model.weights.h5": b"\x89HDF\r\n\x1a\n"}
    )


def hdf5(layer: dict[str, object]) -> bytes:
    config = {"class_name": "Sequential", "config": {"layers": [layer]}}
    return b"\x89HDF\r\n\x1a\n" + bytes(64) + b"model_config\0" + json.dumps(config).encode() + bytes(64)


LAMBDA: Final[dict[str, object]] = {"class_name": "Lambda", "config": {"function": ["4wEAAA==", None, None]}}


def gguf(template: str = "", *, tensors: int = 0) -> bytes:
    entry = _gguf_text("tokenizer.chat_template") + struct.pack("<I", 8) + _gguf_text(template)
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, 1) + entry + bytes(64)


def _gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf_model(
    *, shape: int = 8, offset: int = 0, tokens: int | None = 1, kind: int = 0, parts: int = 1, type_: str = "model"
) -> bytes:
    """A file with one tensor of `shape` numbers, which has the room of 8. tokens: as stated; None for no tokenizer."""
    entries = [
        _gguf_text("general.architecture") + struct.pack("<I", 8) + _gguf_text("llama"),
        _gguf_text("general.type") + struct.pack("<I", 8) + _gguf_text(type_),
        _gguf_text("split.count") + struct.pack("<IH", 2, parts),
    ]
    if tokens is not None:
        entries.append(_gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, tokens) + _gguf_text("a"))
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries)) + b"".join(entries)
    head += _gguf_text("token_embd.weight") + struct.pack("<IQIQ", 1, shape, kind, offset)
    return head + bytes(-len(head) % 32) + bytes(32)


def skops(node: dict[str, object]) -> bytes:
    return zipped({"schema.json": json.dumps({**node, "protocol": 2}).encode()})


def bomb() -> bytes:
    """Overlapping members would go further; a plain ratio of a thousand to one is enough."""
    return zipped({"zeros": bytes(64 * 1024 * 1024)}, zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """Two entries of the directory with one local header."""
    content = zipped({"a.bin": b"1234"})
    at = content.index(b"PK\x01\x02")
    entry = content[at : content.index(b"PK\x05\x06")]
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(entry), at, 0)
    return content[:at] + entry + entry + end


_PROTOCOL_0: Final = b"cposix\nsystem\n(S'true'\ntR."
_INST: Final = b"(S'true'\niposix\nsystem\n."
_OBJ: Final = b"\x80\x02(cposix\nsystem\nX\x04\x00\x00\x00trueo."
_MEMO: Final = (
    b"\x80\x04" + short("system") + b"\x940" + short("posix") + b"\x940" + b"h\x01h\x00\x93" + short("x") + b"\x85R."
)
_GETATTR: Final = (
    b"\x80\x04" + short("builtins") + short("getattr") + b"\x93" + short("builtins") + short("__import__") + b"\x93"
    + short("os") + b"\x85R" + short("system") + b"\x86R" + short("true") + b"\x85R."
)  # fmt: skip
_COMPUTED: Final = (
    b"\x80\x04" + short("posix") + b"cbuiltins\nstr\n" + short("system") + b"\x85R\x93" + short("true") + b"\x85R."
)
_CHANGES_CLASS: Final = b"\x80\x04csklearn.base\nBaseEstimator\n}" + short("predict") + short("x") + b"sb."

MALICIOUS: Final[dict[str, Maker]] = {
    "os.system by reduce": lambda: pickle.dumps(Call(__import__("os").system, "true")),
    "eval": lambda: pickle.dumps(Call(eval, "1")),
    "exec": lambda: call("builtins", "exec", "1"),
    "compile": lambda: call("builtins", "compile", "1"),
    "importlib.import_module": lambda: call("importlib", "import_module", "os"),
    "runpy": lambda: call("runpy", "_run_code"),
    "timeit": lambda: call("timeit", "timeit"),
    "urlopen": lambda: call("urllib.request", "urlopen", "file:///dev/null"),
    "socket": lambda: call("socket", "socket"),
    "pip": lambda: call("pip", "main"),
    "pydoc.locate": lambda: call("pydoc", "locate", "os.system"),
    "operator.methodcaller": lambda: call("operator", "methodcaller", "system"),
    "numpy.testing gadget": lambda: call("numpy.testing._private.utils", "runstring"),
    "numpy.f2py gadget": lambda: call("numpy.f2py.crackfortran", "getlincoef"),
    "torch.hub gadget": lambda: call("torch.hub", "load"),
    "torch.load gadget": lambda: call("torch.serialization", "load"),
    "torch collect_env gadget": lambda: call("torch.utils.collect_env", "run"),
    "joblib.load gadget": lambda: call("joblib", "load"),
    "nested pickle.loads": lambda: call("_pickle", "loads"),
    "builtins of Python 2": lambda: b"c__builtin__\neval\n(S'1'\ntR.",
    "commands of Python 2": lambda: b"ccommands\ngetoutput\n(S'true'\ntR.",
    "attribute of an allowed module": lambda: call("sklearn.base", "os.system"),
    "globals of an allowed function": lambda: call("sklearn.base", "clone.__globals__"),
    "INST opcode": lambda: _INST,
    "OBJ opcode": lambda: _OBJ,
    "protocol 0 text": lambda: _PROTOCOL_0,
    "memoised parts": lambda: _MEMO,
    "getattr chain": lambda: _GETATTR,
    "computed name": lambda: _COMPUTED,
    "extension code": lambda: b"\x80\x02\x82\x01X\x04\x00\x00\x00true\x85R.",
    "change of a class": lambda: _CHANGES_CLASS,
    "truncated after the payload": lambda: SYSTEM[:-1],
    "unknown opcode after the payload": lambda: SYSTEM[:-1] + b"\xff.",
    "two streams": lambda: pickle.dumps({"a": 1}) + SYSTEM,
    "renamed as safetensors": lambda: SYSTEM,
    "joblib payload after an array": lambda: joblib_with(Call(exec, "1")),
    "joblib payload in an array of objects": joblib_objects,
    "joblib array that is also opcodes": joblib_two_readings,
    "gzip": lambda: gzip.compress(SYSTEM),
    "zlib": lambda: zlib.compress(SYSTEM),
    "bz2": lambda: bz2.compress(SYSTEM),
    "xz": lambda: lzma.compress(SYSTEM),
    "lzma": lambda: lzma.compress(SYSTEM, lzma.FORMAT_ALONE),
    "gzip in gzip": lambda: gzip.compress(gzip.compress(SYSTEM)),
    "second gzip stream": lambda: gzip.compress(pickle.dumps(1)) + gzip.compress(SYSTEM),
    "zip": lambda: zipped({"model.pkl": SYSTEM}),
    "zip in zip": lambda: zipped({"inner.zip": zipped({"model.bin": SYSTEM}, zipfile.ZIP_DEFLATED)}),
    "torch zip": lambda: torch_zip(SYSTEM),
    "torch zip, payload in another pickle": lambda: torch_zip(b"\x80\x02}.", **{"m/constants.pkl": SYSTEM}),
    "torch zip, broken checksum": broken_checksum,
    "torch before 1.6": lambda: (
        old_torch(SYSTEM)
    ),
    "tar of a pickle": lambda: tarred(tarfile.TarInfo("pickle"), SYSTEM),
    "tar with a link": lambda: tarred(link("weights", "/etc/passwd")),
    "tar with a traversal": lambda: tarred(tarfile.TarInfo("../../evil.py"), b"x"),
    "zip with a traversal": lambda: zipped({"../../evil.txt": b"x"}),
    "zip with headers that disagree": disagreeing_headers,
    "zip with a member twice": doubled_members,
    "zip with members that overlap": overlapping,
    "pickle with a zip tail": lambda: pickle.dumps([1]) + zipped({"a.txt": b"x"}),
    "safetensors with a zip tail": lambda: safetensors({"a": tensor(0, 4)}, b"\0" * 4 + zipped({"a.txt": b"x"})),
    "safetensors with a key twice": lambda: safetensors(b'{"a":{},"a":{}}', b""),
    "npy of objects": lambda: npy_of(SYSTEM),
    "onnx data outside": lambda: onnx(location=b"../../../etc/passwd"),
    "onnx data at an absolute path": lambda: onnx(location=b"/etc/passwd"),
    "keras lambda": lambda: keras(LAMBDA),
    "keras module of Python": lambda: keras({"module": "subprocess", "class_name": "run", "config": {"args": "true"}}),
    "h5 lambda": lambda: hdf5(LAMBDA),
    "gguf template": lambda: gguf("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "skops function": lambda: skops({"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode"}),
    "yaml object": lambda: b"model: !!python/object/apply:os.system ['true']\nname: x\n",
}  # fmt: skip
"""Files that name dangerous code or are built to deceive."""


def npy_of(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return buffer.getvalue() + pickled


NOT_CLEAN: Final[dict[str, Maker]] = {
    "unlisted global": lambda: call("some_package.models", "Model"),
    "unlisted name of a listed package": lambda: call("sklearn.utils", "something"),
    "call of a computed object": lambda: b"\x80\x04cbuiltins\nset\n)R)R.",
    "python source": lambda: b"import os\nos.system('true')\n",
    "shell script": lambda: b"#!/bin/sh\ntrue\n",
    "ELF": lambda: b"\x7fELF" + bytes(60),
    "python bytecode": lambda: b"\xa7\x0d\x0d\x0a" + bytes(12),
    "encrypted zip": encrypted_member,
    "zip bomb": lambda: zipped({"a.zip": bomb()}),
    "7z": lambda: b"7z\xbc\xaf\x27\x1c" + bytes(32),
    "rar": lambda: b"Rar!\x1a\x07\x01\x00" + bytes(32),
    "zstd": lambda: b"\x28\xb5\x2f\xfd" + bytes(32),
    "unknown bytes": lambda: bytes(range(1, 255)),
    "empty": lambda: b"",
    "truncated pickle": lambda: pickle.dumps(list(range(100)))[:-20],
    "pickle with trailing bytes": lambda: pickle.dumps([1]) + b"\x00\x00\x00",
    "out-of-band buffers": lambda: b"\x80\x05\x97.",
    "protocol 6": lambda: b"\x80\x06N.",
    "truncated gzip": lambda: gzip.compress(pickle.dumps([1]))[:-9],
    "safetensors overlap": lambda: safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
    "safetensors gap": lambda: safetensors({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)),
    "safetensors trailing bytes": lambda: safetensors({"a": tensor(0, 4)}, bytes(8)),
    "safetensors wrong size": lambda: safetensors({"a": tensor(0, 4, shape=[3])}, bytes(4)),
    "safetensors header too long": lambda: struct.pack("<Q", 1000) + b"{}" + bytes(20),
    "safetensors unknown type": lambda: safetensors({"a": tensor(0, 4, dtype="X9")}, bytes(4)),
    "onnx with missing data": lambda: onnx(location=b"weights.bin"),
    "onnx with foreign operators": lambda: onnx(domain=b"evil.ops"),
    "onnx truncated": lambda: onnx()[:-2],
    "gguf with too many tensors": lambda: gguf(tensors=2**40),
    "gguf with too many tokens": lambda: gguf_model(tokens=2**60),
    "gguf with more tokens than bytes": lambda: gguf_model(tokens=1_000),
    "gguf with a tensor past the end": lambda: gguf_model(shape=9),
    "gguf with a tensor of an absurd shape": lambda: gguf_model(shape=2**63),
    "gguf with a tensor far outside": lambda: gguf_model(offset=2**40),
    "gguf with a tensor out of line": lambda: gguf_model(offset=1, shape=1),
    "gguf with an unknown type": lambda: gguf_model(kind=99),
    "gguf truncated": lambda: gguf_model()[:-1],
    "hdf5 without a configuration": lambda: b"\x89HDF\r\n\x1a\n" + bytes(64),
    "skops with an unlisted type": lambda: skops({"__class__": "M", "__module__": "m", "__loader__": "ObjectNode"}),
    "skops with a method": lambda: skops({"__class__": "set", "__module__": "builtins", "__loader__": "MethodNode"}),
    "deep JSON": lambda: b'{"a":' * 100_000,
}  # fmt: skip
"""Files that must not pass without a person, or at all."""
