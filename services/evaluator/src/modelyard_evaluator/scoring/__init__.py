"""Scoring: artifacts are opened, rows read and numbers computed in child processes only.

`python -m modelyard_evaluator.scoring pin|measure|compare FOLDER` reads FOLDER/<command>.job.json and writes
FOLDER/<command>.json. The exit code classifies a failure (errors.py); the last line of stderr describes it.
`processes.py` is the service's side: it starts these processes and enforces their limits.
"""
