"""The worker: a process of its own for each run, the only place that imports Ray, pandas or scikit-learn."""
