"""Pure decisions: evaluations, statistics, verdicts and their events. Values in, values out."""
