"""Faults at the start of a process, missing packages: one clear line, never a traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_cli.stack.layout import Layout, StackError
from modelyard_devstack.testing import Process, wait_until

from .disk import SmallDisk
from .services import NAMES, service

pytestmark = [pytest.mark.usefixtures("loopback"), pytest.mark.timeout(180)]

WITHIN_S = 60.0
"""On a busy machine; on an idle one a start takes two seconds."""


def ended(process: Process) -> tuple[int, str]:
    return process.wait(WITHIN_S), process.output


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def port_in_use(taken: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Start all services on a taken port; exit code and output of each."""
    started = {}
    for name in NAMES:
        env = {f"{name.upper()}_PORT": str(taken)}
        started[name] = service(name, tmp_path_factory.mktemp(name), env).start(ready=False)
    return {name: ended(process) for name, process in started.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_port_in_use_is_reported_with_the_setting_to_change(
    port_in_use: dict[str, tuple[int, str]], taken: int, name: str
) -> None:
    code, output = port_in_use[name]
    assert code == 2, output
    assert f"127.0.0.1:{taken}" in output and f"{name.upper()}_PORT" in output and "Traceback" not in output, output


BROKEN_SERVER = """
import sys
if "-m" in sys.orig_argv:
    import uvicorn
    async def serve(self, sockets=None):
        raise RuntimeError("a bug in the server")
    uvicorn.Server.serve = serve
    from modelyard_runtime.service import Service
    run = Service.run
    def run_at_once(self):
        if self.name == "monitor":
            self.on_start = None  # it waits for ClickHouse
        return run(self)
    Service.run = run_at_once
"""


@pytest.fixture(scope="module")
def server_fails(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Start all services with an HTTP server that raises; exit code and output of each."""
    patch = tmp_path_factory.mktemp("patch")
    (patch / "sitecustomize.py").write_text(BROKEN_SERVER)
    env = {"PYTHONPATH": str(patch)}
    started = {name: service(name, tmp_path_factory.mktemp(name), env).start(ready=False) for name in NAMES}
    return {name: ended(process) for name, process in started.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_whose_http_server_fails_ends_with_an_error_that_names_it(
    server_fails: dict[str, tuple[int, str]], name: str
) -> None:
    code, output = server_fails[name]
    assert code == 1, output
    assert f"{name}: the HTTP server ended: RuntimeError: a bug in the server" in output.splitlines(), output


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk", 4)
    yield disk
    disk.close()


STATEFUL = ("registry", "trainer", "evaluator", "deployer", "router")
"""Services with data of their own; the monitor's is in ClickHouse and Kafka."""


def test_a_start_on_a_full_disk_is_one_line_and_succeeds_once_there_is_space(disk: SmallDisk, tmp_path: Path) -> None:
    """All other services and the broker are down."""

    def all_started() -> dict[str, Process]:
        env = {name: {f"{name.upper()}_DATA_DIR": str(disk.folder / name)} for name in STATEFUL}
        return {name: service(name, tmp_path, env[name]).start(ready=False) for name in STATEFUL}

    disk.fill()
    for name, process in all_started().items():
        code, output = ended(process)
        assert code == 2 and "Traceback" not in output, output
        assert str(disk.folder / name) in output and f"{name.upper()}_DATA_DIR" in output, output
        assert "free disk space" in output, output
    disk.free()
    running = all_started()
    try:
        for process in running.values():
            wait_until(lambda process=process: "Application startup complete" in process.output, WITHIN_S)  # type: ignore[misc]
    finally:
        for process in running.values():
            process.kill()
    assert (disk.folder / "router" / "spool" / "router-id").read_text().startswith("router-")


@pytest.mark.parametrize("name", ["trainer", "evaluator"])
def test_an_unusable_folder_is_reported_with_its_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    env = {f"{name.upper()}_DATA_DIR": str(tmp_path / "file" / "data")}
    code, output = ended(service(name, tmp_path, env).start(ready=False))
    assert code == 2 and "Traceback" not in output, output
    assert f"{name.upper()}_DATA_DIR" in output and str(tmp_path / "file") in output, output


def test_a_stack_on_a_full_disk_reports_it_and_leaves_no_partial_key(disk: SmallDisk) -> None:
    layout = Layout(disk.folder / "stack")
    layout.root.mkdir()
    disk.fill()
    with pytest.raises(StackError, match="free disk space, or use another folder with --data-dir"):
        layout.prepare()
    disk.free()
    layout.prepare()
    assert len(layout.admin_key_file.read_text()) > 40


# -- packages that are not installed -----------------------------------------------------------------------------------

HIDE = """
import os
from importlib.machinery import PathFinder

HIDDEN = set(os.environ["PYTHON_TEST_HIDDEN_PACKAGES"].split(","))
find_spec = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, path=None, target=None: None if name in HIDDEN else find_spec(name, path, target)
)
"""


def without(packages: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python without these packages."""
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    # The local ClickHouse starts again with a clean environment, which keeps names with PYTHON.
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHON_TEST_HIDDEN_PACKAGES": packages}
    return subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False
    )


RECIPE = """
from modelyard_trainer.jobs.catalogue import known_recipes
from modelyard_trainer.usecases import check_recipe
try:
    check_recipe(known_recipes({}), "NAME", {})
except Exception as error:
    print(type(error).__name__, error)
"""
FLAVOUR = """
from pathlib import Path
import sys
from modelyard_flavours import save_model
try:
    save_model("NAME", object(), Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("packages", "program", "name", "expected"),
    [
        ("ray", RECIPE, "tabular-classifier", ("ray", "pip install 'modelyard-trainer'")),
        ("torch", RECIPE, "torch-mlp", ("torch", "pip install 'modelyard-trainer[torch]'")),
        ("skops,sklearn", FLAVOUR, "sklearn", ("skops", "pip install 'modelyard-flavours[sklearn]'")),
    ],
    ids=["a recipe without ray", "a recipe without torch", "a flavour without its library"],
)
def test_a_missing_package_is_reported_with_the_extra_to_install(
    tmp_path: Path, packages: str, program: str, name: str, expected: tuple[str, ...]
) -> None:
    result = without(packages, tmp_path, "-c", program.replace("NAME", name), str(tmp_path / "model"))
    assert all(part in result.stdout for part in expected), result.stdout + result.stderr


def test_the_local_clickhouse_without_its_engine_reports_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text('{"writer": "w", "reader": "r"}')
    options = ("--port", "0", "--data", str(tmp_path / "data"), "--passwords-file", str(tmp_path / "passwords"))
    result = without("chdb", tmp_path, "-m", "modelyard_devclickhouse", *options)
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    assert "chdb" in result.stderr and "pip install modelyard-devclickhouse" in result.stderr, result.stderr
