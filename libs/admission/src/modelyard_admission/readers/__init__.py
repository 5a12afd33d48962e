"""Strict readers of file formats: typed values out, Malformed for anything that does not follow the format."""
