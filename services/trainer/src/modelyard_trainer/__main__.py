"""python -m modelyard_trainer"""

import sys

from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import load_settings
from modelyard_trainer.app import build
from modelyard_trainer.settings import Settings


def main() -> int:
    """Exit code: 0 after an orderly stop, 2 when it could not start."""
    settings = load_settings(Settings)
    try:
        service = build(settings)
    except StartupError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 2
    return service.run()


if __name__ == "__main__":
    raise SystemExit(main())
