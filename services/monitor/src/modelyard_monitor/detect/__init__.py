"""Slices to drift and alerts: a keyed, stateful Faust worker."""
