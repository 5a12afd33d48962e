"""Pickles, walked without loading: a model of the unpickler's stack and memo, and lists of names."""
