"""What owner and zygote say to each other, one packet a message, over a socket pair that keeps packets apart.

Owner: SPAWN or DETACHED, with three file descriptors: where the child reads its request, its stdout, its stderr.
Zygote: JSON. `{"ready": {module: error}}` once; `{"started": pid}` with the child's pidfd, or `{"failed": why}`, for
each request; `{"ended": pid, "code": n}` for each child.

The request itself (module, argv, env, cwd) goes from owner to child past the zygote, after the owner has heard of the
pid. So the zygote never holds a secret of one child that another could find, and a child whose owner died before it
knew of it reads the end of the file, not a request, and ends: nobody has to look for it.
"""

import json
import socket
from typing import Any, Final

SPAWN: Final = b"spawn"
"""The zygote stays while this child runs, to tell its exit code."""
DETACHED: Final = b"detached"
"""The zygote may end before this child does."""
REQUEST_FDS: Final = 3
MAX_PACKET_BYTES: Final = 65_536
UNFIT: Final = 3
"""Exit code of a zygote that must not fork."""


def send(to: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    body = json.dumps(message).encode()[:MAX_PACKET_BYTES]
    if fds:
        socket.send_fds(to, [body], list(fds))
    else:
        to.send(body)


def receive(of: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and its file descriptors; an empty packet is the end."""
    body, fds, _, _ = socket.recv_fds(of, MAX_PACKET_BYTES, REQUEST_FDS, socket.MSG_CMSG_CLOEXEC)
    return body, list(fds)
