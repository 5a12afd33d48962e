"""Numbered SQL; 0001 is never edited once merged."""
