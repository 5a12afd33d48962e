"""Digests of the tensors of a model, and how much two models have in common."""
