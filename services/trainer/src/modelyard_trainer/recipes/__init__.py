"""Recipes; imported in the worker only."""
