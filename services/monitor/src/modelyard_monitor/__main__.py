"""`python -m modelyard_monitor`: run the service; `python -m modelyard_monitor detect`: the detect worker alone."""

import sys

from modelyard_monitor.settings import Settings
from modelyard_runtime.service import built
from modelyard_runtime.settings import load_settings


def main() -> int:
    settings = load_settings(Settings)
    if sys.argv[1:] == ["detect"]:
        from modelyard_monitor.detect.worker import run

        return run(settings)
    if sys.argv[1:]:
        print("usage: python -m modelyard_monitor [detect]", file=sys.stderr)
        return 2
    from modelyard_monitor.app import build  # after the settings: a bad one is reported without a second of imports

    return built("monitor", build, settings).run()


if __name__ == "__main__":
    raise SystemExit(main())
