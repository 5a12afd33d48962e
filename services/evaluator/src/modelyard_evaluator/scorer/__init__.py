"""Processes that open artifacts, read rows and count; the service itself does none of it.

`python -m modelyard_evaluator.scorer pin|measure|compare FOLDER` reads FOLDER/<word>.job.json and writes
FOLDER/<word>.json. The exit code says whose fault a failure is (errors.py), the last line of stderr what it is.
"""
