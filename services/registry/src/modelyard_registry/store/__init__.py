"""The ports made real: SQL and a folder."""
