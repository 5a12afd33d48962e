"""Use cases: reports about stored predictions, labels and events."""
