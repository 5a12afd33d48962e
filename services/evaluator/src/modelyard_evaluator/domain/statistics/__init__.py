"""Paired statistics of two versions on the same rows. Needs numpy and scipy; imported in scoring processes only."""
