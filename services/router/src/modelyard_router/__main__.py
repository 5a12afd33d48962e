"""`python -m modelyard_router`: one router."""

import sys

from modelyard_router.app import build
from modelyard_router.settings import Settings
from modelyard_runtime.errors import StartupError
from modelyard_runtime.service import EXIT_CANNOT_START
from modelyard_runtime.settings import load_settings


def main() -> int:
    settings = load_settings(Settings)
    try:
        service = build(settings)
    except StartupError as error:
        print(f"router: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    return service.run()


if __name__ == "__main__":
    raise SystemExit(main())
