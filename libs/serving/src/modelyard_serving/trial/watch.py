"""Names of the calls that a confinement refuses, as Python's audit events report them: for reasons, not for safety."""

import sys
import traceback
from pathlib import Path
from typing import Any, Final

_WATCHED: Final = frozenset(
    {
        "socket.__new__", "socket.connect", "socket.bind", "os.fork", "os.forkpty", "os.exec", "os.system", "os.spawn",
        "os.posix_spawn", "subprocess.Popen", "os.kill",
    }
)  # fmt: skip
MAX_RECORDED: Final = 20


class Watch:
    """Records watched events that come from files below `folder`; it cannot be switched off again."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.refused: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _WATCHED or len(self.refused) >= MAX_RECORDED:
            return
        for frame in reversed(traceback.extract_stack(limit=40)):
            if frame.filename.startswith(self._folder):
                seen = f"{event} ({Path(frame.filename).name}:{frame.lineno})"
                if seen not in self.refused:
                    self.refused.append(seen)
                return
