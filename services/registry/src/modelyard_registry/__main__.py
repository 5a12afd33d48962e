"""`python -m modelyard_registry`: run until a signal; prints `ready http://HOST:PORT` once it accepts requests."""

import sys

from modelyard_runtime.errors import StartupError
from modelyard_runtime.settings import load_settings


def main() -> int:
    """Return 0 after an orderly stop, 2 when it cannot start."""
    from modelyard_registry.app import NAME, Registry
    from modelyard_registry.settings import Settings

    settings = load_settings(Settings)
    try:
        registry = Registry(settings)
    except StartupError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    return registry.service.run()


if __name__ == "__main__":
    sys.exit(main())
