"""Topics that the router reads and answers."""
