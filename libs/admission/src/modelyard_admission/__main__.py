"""`python -m modelyard_admission PATH`: scan and print the report."""

import argparse
import gc
import json
import sys
from pathlib import Path

from modelyard_admission.limits import Limits
from modelyard_admission.run import run
from modelyard_admission.summary import table
from modelyard_admission.walls import restrict_scan


def main(arguments: list[str]) -> int:
    """Exit status: 0 for a pass, 1 for findings that need a person, 2 for malicious or incomplete."""
    options = _parser().parse_args(arguments)
    gc.disable()  # the walker keeps millions of plain values, which hold no cycles
    limits = Limits(**json.loads(options.limits))
    if options.confined:
        restrict_scan(tuple(filter(None, (options.path, options.osv_snapshot))), limits)
    report = run(options.path, limits, options.osv_snapshot)
    sys.stdout.write(json.dumps(report) if options.json else table(report) + "\n")
    return {"safe_format": 0, "allow_listed": 0, "suspicious": 1}.get(report["verdict"], 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m modelyard_admission", description="Scan the files of a model.")
    parser.add_argument("path", type=Path, help="A file or a folder.")
    parser.add_argument("--json", action="store_true", help="Print the report as JSON.")
    parser.add_argument("--confined", action="store_true", help="Give up the network, writing and other files.")
    parser.add_argument("--limits", default="{}", help="Limits as a JSON object, such as '{\"seconds\": 60}'.")
    parser.add_argument("--osv-snapshot", type=Path, help="Folder or zip file of OSV records, to check dependencies.")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
