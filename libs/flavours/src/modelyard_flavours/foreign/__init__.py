"""Flavours for models that others made: files as the libraries of their authors write them.

Each module has NAME, OPTIONS (name to meaning), check, load and environment. Libraries are imported by `load` only.
"""
