"""Confine the process that scores a version, before its files are parsed."""

from pathlib import Path
from tempfile import mkdtemp

from modelyard_confine import Confinement, NotRestricted, Walls, confine
from modelyard_contracts.manifest import ModelManifest
from modelyard_evaluator.scoring.errors import NotConfined
from modelyard_flavours import needs_confinement


def confine_scorer(folder: Path, side: str, manifest: ModelManifest) -> None:
    """Leave this process the rows, the files of its side, and its two results; NotConfined if the version needs more.

    The other side's files, and the platform's, are out of reach. Call it before threads exist.
    """
    results = (folder / f"{side}.npz", folder / "measure.json")
    for file in results:
        file.touch()
    scratch = Path(mkdtemp(dir=folder, prefix="scratch-"))
    wanted = Confinement(
        scratch=scratch,
        readable=(folder / side, folder / "rows.parquet"),
        writable=results,
        network=manifest.permissions.network,
    )
    try:
        walls = confine(wanted)
    except NotRestricted as error:
        walls = Walls((), str(error))
    if not walls.complete and needs_confinement(manifest):
        raise NotConfined(walls.described)
