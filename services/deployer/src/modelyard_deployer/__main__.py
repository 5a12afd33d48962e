"""`python -m modelyard_deployer`: run the service."""

from modelyard_deployer.settings import Settings
from modelyard_runtime.service import built
from modelyard_runtime.settings import load_settings


def main() -> int:
    settings = load_settings(Settings)
    from modelyard_deployer.app import (
        build,  # imported late: an invalid setting is reported without a second of imports
    )

    return built("deployer", build, settings).run()


if __name__ == "__main__":
    raise SystemExit(main())
