"""`python -m modelyard_evaluator`: run the service."""

from modelyard_evaluator.settings import Settings
from modelyard_runtime.service import built
from modelyard_runtime.settings import load_settings


def main() -> int:
    settings = load_settings(Settings)
    from modelyard_evaluator.app import build  # after the settings: a bad one is told without a second of imports

    return built("evaluator", build, settings).run()


if __name__ == "__main__":
    raise SystemExit(main())
