"""Use cases: request an evaluation, and advance it stage by stage."""
