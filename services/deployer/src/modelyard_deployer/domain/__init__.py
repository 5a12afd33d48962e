"""Decisions of the deployer: values in, values out."""
