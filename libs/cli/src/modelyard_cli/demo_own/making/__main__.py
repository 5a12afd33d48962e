"""python -m modelyard_cli.demo_own.making FOLDER CACHE NAME...: make the named models."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from modelyard_cli.demo_own.making import reviews, tables

MAKERS: Final[Mapping[str, Callable[[Path], None]]] = {
    "own-cancer": tables.cancer,
    "own-diabetes": tables.diabetes,
    "own-digits": tables.digits,
    "own-rules": tables.rules,
    "bad": tables.bad,
}


def main(folder: Path, cache: Path, names: list[str]) -> None:
    """Write each model into a folder of its own."""
    for name in names:
        (folder / name).mkdir(parents=True)
        if name == "own-reviews":
            reviews.reviews(folder / name, cache)
        else:
            MAKERS[name](folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
