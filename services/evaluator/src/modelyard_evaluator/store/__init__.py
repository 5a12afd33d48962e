"""Evaluations in SQL."""
