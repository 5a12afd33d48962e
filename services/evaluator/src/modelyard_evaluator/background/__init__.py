"""Background tasks: advance evaluations, clean up files."""
