"""Turns a copy of the zygote into the requested process."""

import atexit
import contextlib
import gc
import json
import os
import runpy
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

from modelyard_zygote.server import Forked


def become(forked: Forked) -> NoReturn:
    """Run the requested module as `__main__`, and exit with its code.

    Exits at once without a request, when its owner died first.
    """
    os.setsid()
    _redirect(forked)
    request = _request(forked.request)
    if request is None:
        os._exit(0)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    _reseed()
    gc.enable()
    with contextlib.suppress(OSError):  # what `ps` and `top` show instead of the zygote's name
        Path("/proc/self/comm").write_text(request["module"].rpartition(".")[2][:15])
    sys.argv = [request["module"], *request["argv"]]
    code = _run(request["module"])
    _finish()
    os._exit(code)


def _run(module: str) -> int:
    """Run it and return its exit code; errors are printed as Python does."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _finish() -> None:
    """Join threads, run exit handlers, flush buffers; then the process exits, as those of multiprocessing do.

    Finalizing the interpreter would touch, and so copy, all pages shared with the zygote: ten times the work.
    """
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _redirect(forked: Forked) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, fd in enumerate((nothing, forked.stdout, forked.stderr)):
        os.dup2(fd, place)
    for fd in (nothing, forked.stdout, forked.stderr):
        os.close(fd)


def _request(fd: int) -> dict[str, Any] | None:
    """The owner's request; None if it is incomplete."""
    with os.fdopen(fd, "rb") as file:
        body = file.read()
    try:
        request: dict[str, Any] = json.loads(body)
    except ValueError:
        return None
    return request


def _reseed() -> None:
    """Reseed numpy's global generator: unlike Python's, it is not reseeded after a fork."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
