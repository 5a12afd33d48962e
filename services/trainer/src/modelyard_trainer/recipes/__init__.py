"""How models are made; imported in the worker only."""
