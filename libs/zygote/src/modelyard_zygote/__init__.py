"""Python processes that start in milliseconds: forked from a parent, the zygote, that has imported what they need.

`Zygote(preload).spawn("package.module", [...], ...)` is `python -m package.module ...` without the seconds of imports.
The child has a session, an environment, a folder, files for its output and a pid of its own; it lives on when the
zygote or the service that asked for it dies.

Forking is safe only from a process with one thread, so the zygote is a process of its own, does nothing but fork, and
refuses to serve when a module it imported has started a thread. On other systems than Linux, or when no zygote can be
had, `spawn` starts a plain subprocess: slower, else the same.

Why not `multiprocessing.forkserver`: it imports silently or not at all, never ends while its owner lives, keeps the
owner's environment (keys and all), runs a resource tracker besides, and its children run a pickled function with the
server's session, output and arguments. Ours must be found again by their own files after a kill -9 of everything
around them, know their end without us, and must not carry one another's secrets.
"""

from modelyard_zygote.client import Zygote
from modelyard_zygote.handles import UNKNOWN_CODE, Handle

__all__ = ["UNKNOWN_CODE", "Handle", "Zygote"]
