"""Consumer groups: membership, and the offsets they commit."""
