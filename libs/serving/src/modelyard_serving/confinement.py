"""Confine the model server: after its socket listens, before a file of a version is parsed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_confine import Amounts, Confinement, NotRestricted, Walls, confine
from modelyard_flavours import needs_confinement
from modelyard_serving.errors import Unloadable
from modelyard_serving.loading import read_manifest

MAX_FILE_MIB: Final = 1_024
"""Largest file that a version may write to its scratch folder."""


@dataclass(frozen=True)
class Sandbox:
    """Parameters of the confinement.

    scratch: the only writable folder; None for no writable folder. token_file: key ring that must stay readable.
    connection: file with the connection of a model of a provider, which must stay readable too.
    allow_unconfined: serve versions that others made even where the machine cannot confine a process.
    """

    scratch: Path | None = None
    token_file: Path | None = None
    allow_unconfined: bool = False
    connection: Path | None = None


def confine_version(folder: Path, sandbox: Sandbox) -> Walls:
    """Confine this process to one version. Unloadable if the version needs a confinement that the machine has not."""
    manifest = read_manifest(folder).manifest
    walls = _confined((folder,), sandbox, network=manifest.permissions.network)
    if not walls.complete and needs_confinement(manifest) and not sandbox.allow_unconfined:
        raise Unloadable(
            f"{walls.described}; versions of the flavour {manifest.flavour} are served without only if "
            "DEPLOYER_ALLOW_UNCONFINED is set"
        )
    return walls


def confine_host(sandbox: Sandbox) -> Walls:
    """Confine a server that versions of this platform share; their folders are not known yet, so it reads all."""
    return _confined((Path("/"),), sandbox, network=False)


def _confined(readable: tuple[Path, ...], sandbox: Sandbox, *, network: bool) -> Walls:
    wanted = Confinement(
        scratch=sandbox.scratch,
        readable=(*(path.resolve() for path in readable), *_paths(sandbox.token_file), *_paths(sandbox.connection)),
        network=network,
        amounts=Amounts(file_mib=MAX_FILE_MIB),
    )
    try:
        return confine(wanted)
    except NotRestricted as error:
        return Walls((), str(error))


def _paths(file: Path | None) -> tuple[Path, ...]:
    """The file's folder if it holds nothing else, so that a replaced file is found; else the file alone."""
    if file is None:
        return ()
    folder = file.resolve().parent
    return (folder,) if [path.name for path in folder.iterdir()] == [file.name] else (file.resolve(),)
