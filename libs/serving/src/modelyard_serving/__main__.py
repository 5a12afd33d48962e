"""Serve one version: `python -m modelyard_serving --model-dir DIR [--model-version N] [--port P]`.

With `--members FILE`, serve all versions that the file lists.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from modelyard_contracts.keyring import InvalidKeyRing, KeyRingFile
from modelyard_serving.errors import Unloadable
from modelyard_serving.tokens import Tokens

FILE_VARIABLE = "SERVING_TOKEN_FILE"
"""Key ring whose secrets are all accepted; may be rotated while the server runs."""
TOKEN_VARIABLE = "MODELYARD_SERVING_TOKEN"  # noqa: S105  a name, not a token
"""One fixed token, accepted beside the key ring."""


def main() -> int:
    """Parse the command line and serve; returns the exit code, 2 if the version cannot be served."""
    options = _parser().parse_args()
    try:
        tokens = _tokens()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    # One predictor thread per process is the unit of scaling; more threads would only compete for cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return _serve(options, tokens)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelyard_serving", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model-dir", type=Path, help="folder with manifest.json and the files")
    source.add_argument("--members", type=Path, help="file that lists versions of one model, which may change")
    parser.add_argument("--model-version", default="0", help="the version's number, as answers name it")
    parser.add_argument("--digest", help="refuse to serve unless manifest.json has this digest (sha256:...)")
    parser.add_argument(
        "--connection", type=Path, help="file with the connection of a model of a provider; read again when it changes"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--scratch", type=Path, help="the only folder that the version may write to; without it, none")
    parser.add_argument(
        "--allow-unconfined",
        action="store_true",
        help="serve versions that others made even if this machine cannot confine a process",
    )
    parser.add_argument("--drain-s", type=float, default=1.0, help="seconds not ready but answering after SIGTERM")
    return parser


def _tokens() -> Tokens:
    """The accepted tokens; ValueError names the variable that is wrong."""
    token, file = os.environ.get(TOKEN_VARIABLE, ""), os.environ.get(FILE_VARIABLE)
    try:
        ring = KeyRingFile(Path(file)) if file else None
    except (OSError, InvalidKeyRing) as error:
        raise ValueError(f"{FILE_VARIABLE}: cannot use {file}: {error}") from error
    if not token and ring is None:
        raise ValueError(
            f"{FILE_VARIABLE} is not set; set it, or {TOKEN_VARIABLE}, to the tokens that callers may send"
        )
    return Tokens(token, ring)


def _serve(given: argparse.Namespace, tokens: Tokens) -> int:
    import uvloop

    from modelyard_serving.loading import through
    from modelyard_serving.server import Options, bind, serve

    try:
        sock = bind(given.host, given.port)
        _confine(given)
    except OSError as error:
        print(f"port {given.port} on {given.host}: {error.strerror}; use another --port, or 0", file=sys.stderr)
        return 2
    except Unloadable as error:
        print(f"cannot serve {given.model_dir}: {error}", file=sys.stderr)
        return 2
    options = Options(given.model_dir, tokens, given.model_version, given.digest, given.drain_s, members=given.members)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(options, sock, through(given.connection)))


def _confine(given: argparse.Namespace) -> None:
    """Confine this process; Unloadable if the version needs it and the machine cannot."""
    from modelyard_serving.confinement import Sandbox, confine_host, confine_version

    file = os.environ.get(FILE_VARIABLE)
    sandbox = Sandbox(given.scratch, Path(file) if file else None, given.allow_unconfined, given.connection)
    walls = confine_host(sandbox) if given.members else confine_version(given.model_dir, sandbox)
    logging.getLogger(__name__).info("%s", walls.described)


if __name__ == "__main__":
    raise SystemExit(main())
