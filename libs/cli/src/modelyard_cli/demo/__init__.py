"""The demo: the whole closed loop on a real stream that drifts, measured and reported."""
