"""Policies compared on past data, beside what a team would do without the platform."""
