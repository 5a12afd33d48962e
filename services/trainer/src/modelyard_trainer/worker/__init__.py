"""The worker: one process per run, which connects to Ray and runs the recipe."""
