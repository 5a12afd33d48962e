"""Slices to drift: keyed, small, stateful."""
