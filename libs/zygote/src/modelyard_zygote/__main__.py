"""`python -m modelyard_zygote --owner-fd N --idle-s S --preload MODULE,MODULE`: import, then fork as asked."""

import argparse
import gc
import importlib
import os
import socket
import sys

from modelyard_zygote import wire
from modelyard_zygote.child import become
from modelyard_zygote.server import Server


def main() -> int:
    parser = argparse.ArgumentParser(prog="modelyard_zygote", description=__doc__)
    parser.add_argument("--owner-fd", type=int, required=True, help="our end of the owner's socket pair")
    parser.add_argument("--idle-s", type=float, required=True, help="exit after this many seconds without a request")
    parser.add_argument("--preload", default="", help="modules to import, with commas between")
    given = parser.parse_args()
    owner = socket.socket(fileno=given.owner_fd)
    owner.set_inheritable(False)
    gc.disable()  # until after the fork: a collection would only create pages to copy
    missing = _preload([name for name in given.preload.split(",") if name])
    if unfit := _unfit():
        wire.send(owner, {"failed": unfit})
        return wire.UNFIT
    gc.freeze()
    wire.send(owner, {"ready": missing})
    child = Server(owner, given.idle_s).run()
    if child is not None:
        become(child)
    return 0


def _preload(names: list[str]) -> dict[str, str]:
    """Import modules; returns the errors by module. Their users report them again."""
    missing = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"[:500]
    return missing


def _unfit() -> str | None:
    """The reason why it must not fork: a fork copies one thread, and locks of others stay locked for ever."""
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208  no objects needed for a count
    return f"the modules it imported started {threads - 1} threads" if threads > 1 else None


if __name__ == "__main__":
    sys.exit(main())
