"""Limits of the supervisor: concurrency, time, attempts, retention and price."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Limits:
    max_running: int = 1
    max_attempts: int = 3
    max_run_s: float = 3_600.0
    tick_s: float = 0.25
    keep_run_dirs: int = 50
    keep_run_dirs_for: timedelta = timedelta(days=30)
    ray_cpus: int = 2
    cpu_hour_usd: float = 0.0
