"""`python -m modelyard_console`: run the service."""

from modelyard_console.settings import Settings
from modelyard_runtime.service import built
from modelyard_runtime.settings import load_settings


def main() -> int:
    settings = load_settings(Settings)
    from modelyard_console.app import build  # imported later, so that a wrong setting is reported at once

    return built("console", build, settings).run()


if __name__ == "__main__":
    raise SystemExit(main())
