"""The modelyard command: the local stack, the demo, and every operator verb."""
