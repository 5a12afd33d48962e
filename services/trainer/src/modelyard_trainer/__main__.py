"""python -m modelyard_trainer"""

from modelyard_runtime.service import built
from modelyard_runtime.settings import load_settings
from modelyard_trainer.app import build
from modelyard_trainer.settings import Settings


def main() -> int:
    """Exit code: 0 after an orderly stop, 2 if the service could not start."""
    return built("trainer", build, load_settings(Settings)).run()


if __name__ == "__main__":
    raise SystemExit(main())
