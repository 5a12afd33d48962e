"""River's ADWIN without the rest of River.

`river.drift` imports all of River (scikit-learn, scipy.stats, pandas: many seconds, 200 MB) for a detector whose core
is a small Rust class. This wraps the core as `river.drift.ADWIN` does; a test compares the two.
"""

from collections import deque
from typing import Any, Final

from river._river_rust.drift import AdaptiveWindowing

DELTA: Final = 0.002
"""River's default: false-alarm probability per check."""
MAX_BUCKETS: Final = 5
MIN_WINDOW: Final = 5
GRACE: Final = 10


class Adwin:
    """Adaptive windowing over a stream of finite numbers; a NaN would disable it for ever."""

    before_values = 0
    """Values that `before` is the mean of."""

    def __init__(self, clock: int = 32, recent: int = 5) -> None:
        self._clock = clock
        self.recent: deque[float] = deque(maxlen=recent)
        """The last values; at a detection the window still holds most of the past."""
        self.before = 0.0
        """Mean of the window without the last values, at a detection."""
        self.drift_detected = False
        self._core: Any = self._new()

    def _new(self) -> Any:
        return AdaptiveWindowing(
            delta=DELTA, clock=self._clock, max_buckets=MAX_BUCKETS, min_window_length=MIN_WINDOW, grace_period=GRACE
        )

    def update(self, value: float) -> None:
        """Take in one value and set `drift_detected`. After a drift the window starts empty."""
        if self.drift_detected:
            self._core = self._new()
            self.recent.clear()
        self.recent.append(value)
        older = self.width + 1 - len(self.recent)
        if older > 0:
            self.before_values = older
            self.before = (float(self._core.get_total()) + value - sum(self.recent)) / older
        self.drift_detected = bool(self._core.update(value))

    @property
    def after(self) -> float:
        """Mean of the last values, at a detection."""
        return sum(self.recent) / len(self.recent)

    @property
    def width(self) -> int:
        return int(self._core.get_width())

    @property
    def estimation(self) -> float:
        """Mean of the window; 0 when it is empty."""
        return float(self._core.get_total()) / self.width if self.width else 0.0
