"""The trial of versions that others made: hostile code is stopped, and the report gives the reason."""

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard_confine import landlock_version
from modelyard_contracts.example import EXAMPLE_FILE, Example, ExampleAnswer
from modelyard_contracts.manifest import (
    ManifestFile,
    ModelManifest,
    Permissions,
    TrainingLineage,
    signed,
)
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_flavours.files import entry_of
from modelyard_serving.testing import write_echo_version
from modelyard_serving.trial import TrialLimits, TrialOutcome, TrialReport, run_trial

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock"),
]
COLUMNS = (Column(name="x"), Column(name="kind", type=ColumnType.CATEGORY))
BINARY = Signature(columns=COLUMNS, output=Output(task=Task.BINARY, classes=("no", "yes")))
VALUE = Signature(columns=COLUMNS, output=Output(task=Task.REGRESSION))
ROWS = ({"x": 1.0, "kind": "a"}, {"x": None, "kind": None}, {"x": -2.0, "kind": "b"})
LIMITS = TrialLimits(seconds=120, memory_mib=1_024, scratch_mib=8, measure_s=0.05)


def write(
    folder: Path,
    code: str,
    signature: Signature = BINARY,
    *,
    answers: tuple[ExampleAnswer, ...] = (),
    permissions: Permissions | None = None,
) -> Path:
    """A version of the flavour `python` with an example of three rows."""
    folder.mkdir(exist_ok=True)
    (folder / "predict.py").write_text(textwrap.dedent(code))
    (folder / EXAMPLE_FILE).write_text(Example(rows=ROWS, answers=answers).model_dump_json())
    manifest = ModelManifest(
        model="theirs",
        flavour="python",
        files=tuple(entry_of(folder, path) for path in ("predict.py", EXAMPLE_FILE)),
        **signed(signature),
        training=TrainingLineage(recipe="none"),
        permissions=permissions or Permissions(code=True, reason="a test"),
        example=EXAMPLE_FILE,
    )
    (folder / "manifest.json").write_bytes(ManifestFile.write(manifest).data)
    return folder


GOOD = """
def predict(rows):
    return ["yes" if (row["x"] or 0) > 0 else "no" for row in rows]
"""
YES, NO = ExampleAnswer(label="yes"), ExampleAnswer(label="no")


def test_a_version_that_answers_as_recorded_passes_with_its_figures(tmp_path: Path) -> None:
    report = run_trial(write(tmp_path / "m", GOOD, answers=(YES, NO, NO)), LIMITS)
    assert (report.outcome, report.answers_equal, report.rows) == (TrialOutcome.ANSWERED, True, 3), report
    assert report.passed
    assert [answer.label for answer in report.answers] == ["yes", "no", "no"]
    assert report.answers[0].scores == (0.0, 1.0)
    assert 0 < (report.p50_ms or 0) <= (report.p95_ms or 0) < 1_000
    assert 10 < (report.peak_rss_mib or 0) < 1_024
    assert "seccomp" in report.confined_by


def test_memory_of_the_process_that_starts_a_trial_is_not_counted() -> None:
    held = bytearray(b"x") * (400 << 20)
    code = "from modelyard_serving.trial.attempt import peak_rss_mib; print(peak_rss_mib())"
    measured = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert 10 < measured < len(held) / 2**20


def test_a_model_that_answers_with_texts_tries_the_first_texts_only(tmp_path: Path) -> None:
    echo = write_echo_version(tmp_path, pause_s=0.001).manifest
    rows = tuple({"text": f"number {place}"} for place in range(20))
    (tmp_path / EXAMPLE_FILE).write_text(Example(rows=rows).model_dump_json())
    files = (*echo.files, entry_of(tmp_path, EXAMPLE_FILE))
    manifest = echo.model_copy(update={"files": files, "example": EXAMPLE_FILE})
    (tmp_path / "manifest.json").write_bytes(ManifestFile.write(manifest).data)
    report = run_trial(tmp_path, LIMITS)
    assert (report.outcome, report.rows) == (TrialOutcome.ANSWERED, 3), report
    assert [answer.label for answer in report.answers] == ["number 0 ", "number 1 ", "number 2 "]


def test_another_answer_than_recorded_is_reported_with_its_row(tmp_path: Path) -> None:
    report = run_trial(write(tmp_path / "m", GOOD, answers=(YES, YES, NO)), LIMITS)
    assert report.outcome is TrialOutcome.ANSWERED
    assert not report.passed
    assert report.first_difference == "row 1: the class is 'no', recorded is 'yes'"


@pytest.fixture
def listener(loopback: None) -> Iterator[socket.socket]:
    """A server of this machine that must not be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        yield server


def hostile(body: str) -> str:
    """Code that does something in `predict` before it answers."""
    return "def predict(rows):\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\n    return ['no'] * len(rows)\n"


FORBIDDEN: dict[str, tuple[str, str]] = {
    "a socket": ("import socket; socket.socket()", "PermissionError"),
    "a request": ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:PORT')", "URLError"),
    "a fork": ("import os; os.fork()", "PermissionError"),
    "a program": ("import subprocess; subprocess.run(['/bin/true'])", "PermissionError"),
    "a shell": ("import os\nassert os.system('true') == 0", "AssertionError"),
    "a new program in place": ("import os; os.execv('/bin/true', ['true'])", "PermissionError"),
    "multiprocessing": (
        "import multiprocessing as m\nm.get_context('fork').Process(target=print).start()",
        "PermissionError",
    ),
    "a file elsewhere": ("open('OUTSIDE/new.txt', 'w')", "PermissionError"),
    "its own code": ("open(__file__, 'a')", "PermissionError"),
    "passwords": ("open('/etc/shadow').read()", "PermissionError"),
    "the platform's data": ("open('OUTSIDE/secret.txt').read()", "PermissionError"),
    "the environment it started with": ("open('/proc/self/environ').read()", "PermissionError"),
    "a neighbour's memory": ("open('/proc/%d/mem' % __import__('os').getppid(), 'rb')", "PermissionError"),
    "a signal to its parent": ("import os; os.kill(os.getppid(), 9)", "PermissionError"),
    "a limit raised again": (
        "import resource as r; r.setrlimit(r.RLIMIT_DATA, (r.RLIM_INFINITY, r.RLIM_INFINITY))",
        "ValueError|PermissionError",
    ),
    "a raw system call": (
        "import ctypes, platform\nnumber = 41 if platform.machine() == 'x86_64' else 198\n"
        "assert ctypes.CDLL(None).syscall(number, 2, 1, 0) >= 0",
        "AssertionError",
    ),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_version_may_not_do_fails_with_file_and_line(tmp_path: Path, name: str, listener: socket.socket) -> None:
    body, error = FORBIDDEN[name]
    (tmp_path / "secret.txt").write_text("the admin key")
    body = body.replace("OUTSIDE", str(tmp_path)).replace("PORT", str(listener.getsockname()[1]))
    report = run_trial(write(tmp_path / "m", hostile(body)), LIMITS)
    assert report.outcome is TrialOutcome.FAILED, report
    assert any(f": {one}" in report.reason for one in error.split("|")), report.reason
    assert "predict.py:" in report.reason
    assert not (tmp_path / "new.txt").exists()
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_refused_call_that_the_code_hides_is_reported_all_the_same(tmp_path: Path) -> None:
    body = """
    import socket
    try:
        socket.socket()
    except OSError:
        pass
    """
    report = run_trial(write(tmp_path / "m", hostile(body)), LIMITS)
    assert report.outcome is TrialOutcome.ANSWERED
    assert report.refused == ("socket.__new__ (predict.py:5)",)


def test_the_network_is_open_with_its_permission_and_processes_are_not(tmp_path: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    granted = Permissions(code=True, network=True, reason="a test")
    body = f"""
        import socket
        if not hasattr(predict, "connected"):  # once: the listener takes 128, the trial repeats
            socket.create_connection(('127.0.0.1', {port})).close()
            predict.connected = True
    """
    report = run_trial(write(tmp_path / "m", hostile(body), permissions=granted), LIMITS)
    assert report.outcome is TrialOutcome.ANSWERED, report
    listener.accept()
    report = run_trial(write(tmp_path / "n", hostile("import os; os.fork()"), permissions=granted), LIMITS)
    assert "PermissionError" in report.reason


OVER: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a loop": ("while True: pass", "did not finish within 15 s", {"seconds": 15}),
    "memory": ("data = [bytes(1 << 20) for _ in range(4_000)]", "memory", {}),
    "many files": (
        "import tempfile, time\nfor n in range(40): tempfile.NamedTemporaryFile(delete=False).write(bytes(1 << 20))\n"
        "time.sleep(60)",
        "MiB of files; the limit is 8 MiB",
        {},
    ),
}


@pytest.mark.parametrize("name", OVER)
def test_a_version_that_exceeds_a_limit_is_ended(tmp_path: Path, name: str) -> None:
    body, reason, changes = OVER[name]
    limits = TrialLimits(**{**vars(LIMITS), **changes})
    report = run_trial(write(tmp_path / "m", hostile(body)), limits)
    assert (report.outcome, reason in report.reason) == (TrialOutcome.OVER_LIMIT, True), report


FAILS: dict[str, tuple[str, str]] = {
    "one large file": ("import tempfile; tempfile.TemporaryFile().write(bytes(9 << 20))", "File too large"),
    "an error": ("raise KeyError('x')", "predict.py:2: KeyError: 'x'"),
    "a crash": ("import ctypes; ctypes.string_at(1)", "its process was ended by SIGSEGV"),
    "an exit": ("import os; os._exit(0)", "ended with code 0 without a report"),
    "a polite exit": ("raise SystemExit", "predict.py:2: SystemExit"),
    "too few answers": ("return ['no']", "returned 1 answers for 3 rows"),
    "an unknown class": ("return ['maybe'] * len(rows)", "row 0: the label 'maybe' is not a class"),
    "scores that are not numbers": ("return [[float('nan'), 1.0]] * len(rows)", "row 0: the answer"),
}


@pytest.mark.parametrize("name", FAILS)
def test_a_version_that_fails_is_reported_with_its_reason(tmp_path: Path, name: str) -> None:
    body, reason = FAILS[name]
    only_example = f"if len(rows) == 1 and not rows[0]['kind']: return ['no']\n{textwrap.dedent(body)}"
    report = run_trial(write(tmp_path / "m", hostile(only_example if name == "too few answers" else body)), LIMITS)
    assert report.outcome is TrialOutcome.FAILED, report
    assert reason in report.reason


def test_the_process_has_no_secret_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_ADMIN_KEY", "a-secret-key")
    code = """
    import os
    def predict(rows):
        raise RuntimeError(" ".join(f"{name}={value}" for name, value in os.environ.items()))
    """
    report = run_trial(write(tmp_path / "m", code), LIMITS)
    assert "OMP_NUM_THREADS=1" in report.reason
    assert "a-secret-key" not in report.reason
    assert os.environ["MODELYARD_ADMIN_KEY"] == "a-secret-key"


def test_a_version_that_takes_nothing_but_such_rows_as_its_example_is_warmed_up_with_one(tmp_path: Path) -> None:
    code = "def predict(rows): return [{'a': 'no', 'b': 'yes', None: 'no'}[row['kind']] for row in rows]"
    assert run_trial(write(tmp_path / "m", code, answers=(NO, NO, YES)), LIMITS).passed


def test_without_the_permission_nothing_is_run(tmp_path: Path) -> None:
    report = run_trial(write(tmp_path / "m", GOOD, permissions=Permissions()), LIMITS)
    assert report.outcome is TrialOutcome.FAILED
    assert "runs only with the permission `code`" in report.reason


def test_a_folder_without_a_manifest_is_a_report(tmp_path: Path) -> None:
    report: TrialReport = run_trial(tmp_path, LIMITS)
    assert report.outcome is TrialOutcome.FAILED
    assert "manifest.json" in report.reason


def test_values_are_compared_within_the_tolerance(tmp_path: Path) -> None:
    code = "def predict(rows): return [(row['x'] or 0) * 100 for row in rows]"
    near = tuple(ExampleAnswer(value=value) for value in (100.005, 0.00005, -200.0))
    assert run_trial(write(tmp_path / "m", code, VALUE, answers=near), LIMITS).answers_equal
    far = tuple(ExampleAnswer(value=value) for value in (100.0, 0.1, -200.0))
    report = run_trial(write(tmp_path / "n", code, VALUE, answers=far), LIMITS)
    assert report.first_difference == "row 1: the value is 0.0, recorded is 0.1"
