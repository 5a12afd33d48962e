"""Findings of texts: Python source, JSON, YAML and prose."""

import ast
import re
from collections.abc import Iterator
from typing import Any, Final

from modelyard_admission.buffers import Data
from modelyard_admission.notes import Job, Note, Verdict
from modelyard_admission.readers.text_kinds import parsed
from modelyard_admission.readers.texts import decode, read_json
from modelyard_admission.scanners.secrets import personal_notes, secret_notes
from modelyard_admission.scanners.templates import template_notes

_LOADER: Final = re.compile(r"^\s*loader_module:\s*['\"]?([\w.]+)", re.MULTILINE)
_YAML_OBJECT: Final = re.compile(r"!!python/|!<?tag:yaml\.org,2002:python")


def scan_text(data: Data, job: Job) -> Iterator[Note]:
    """Prose, YAML, CSV and templates: tags that build objects, loaders, secrets and personal data."""
    text = decode(data, job.budget.limits.text_bytes)
    if _YAML_OBJECT.search(text):
        message = "holds a tag of YAML that builds Python objects"
        yield Note("yaml-python-object", Verdict.MALICIOUS, message, remedy="Remove the tag; plain YAML needs none.")
    for match in _LOADER.finditer(text):
        if not match[1].startswith("mlflow."):
            message = f"names the module {match[1][:100]!r}, which MLflow would import"
            yield Note("mlflow-loader", Verdict.SUSPICIOUS, message)
    if "{%" in text or "{{" in text:
        yield from template_notes(text, "template")
    yield from secret_notes(text)
    yield from personal_notes(text)


def scan_json(data: Data, job: Job) -> Iterator[Note]:
    """Configurations of transformers that ask for code, chat templates, and secrets."""
    content = read_json(data, job.budget.limits.text_bytes)
    yield from secret_notes(decode(data, job.budget.limits.text_bytes))
    if not isinstance(content, dict):
        return
    for key in sorted({"auto_map", "trust_remote_code", "custom_pipelines"} & content.keys()):
        if content[key]:
            message = f"asks the loader to run code of the model ({key})"
            yield Note(
                "transformers-code", Verdict.SUSPICIOUS, message, key, "Save the model with a class of the library."
            )
    yield from _chat_templates(content.get("chat_template"))


def scan_image(data: Data, job: Job) -> Iterator[Note]:
    """The name of a container image, whose content is elsewhere."""
    yield Note(
        "container-image",
        Verdict.SUSPICIOUS,
        "names a container image: code that is not scanned here",
        remedy="Scan the image where it is built; a person with the right allows it with a reason.",
    )
    yield from scan_json(data, job)


def scan_json_lines(data: Data, job: Job) -> Iterator[Note]:
    """Records, such as samples: each line is a document."""
    text = decode(data, job.budget.limits.text_bytes)
    for line in text.splitlines():
        read_json(line.encode(), job.budget.limits.text_bytes)
    yield from secret_notes(text)
    yield from personal_notes(text)


def _chat_templates(value: Any) -> Iterator[Note]:
    """One template, or a list of objects with a name and a template each."""
    if isinstance(value, str):
        yield from template_notes(value, "chat_template")
    elif isinstance(value, list):
        for entry in value:
            yield from _chat_templates(entry.get("template") if isinstance(entry, dict) else None)


def scan_python(data: Data, job: Job) -> Iterator[Note]:
    """Source code needs a person's permission; calls that models rarely need are pointed out."""
    tree = parsed(data)
    if tree is None:
        yield Note("python-unreadable", Verdict.INCOMPLETE, "is source code that cannot be parsed")
        return
    yield Note("python-code", Verdict.SUSPICIOUS, "is source code, which runs when the model is loaded")
    yield from secret_notes(data[:].decode("utf-8", "replace"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _called(node.func)) in RISKY_CALLS:
            yield Note("python-risky-call", Verdict.SUSPICIOUS, f"calls {name}", f"line {node.lineno}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node)


def _called(node: ast.expr) -> str:
    """Dotted name of a called expression, such as `os.system`."""
    if isinstance(node, ast.Attribute):
        return f"{_called(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[Note]:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for module in modules:
        if module.partition(".")[0] in RISKY_MODULES:
            yield Note("python-risky-import", Verdict.SUSPICIOUS, f"imports {module}", f"line {node.lineno}")


RISKY_CALLS: Final = frozenset(
    [
        "eval",
        "exec",
        "compile",
        "__import__",
        "getattr",
        "setattr",
        "os.system",
        "os.popen",
        "os.execv",
        "os.fork",
        "os.remove",
        "os.unlink",
        "os.rename",
        "shutil.rmtree",
        "subprocess.run",
        "subprocess.Popen",
        "subprocess.call",
        "subprocess.check_output",
        "pickle.load",
        "pickle.loads",
        "joblib.load",
        "torch.load",
        "marshal.loads",
        "importlib.import_module",
        "socket.socket",
        "urllib.request.urlopen",
        "requests.get",
        "requests.post",
        "ctypes.CDLL",
    ]
)
RISKY_MODULES: Final = frozenset(
    ["subprocess", "socket", "ctypes", "urllib", "requests", "httpx", "aiohttp", "marshal", "importlib", "pty"]
)
