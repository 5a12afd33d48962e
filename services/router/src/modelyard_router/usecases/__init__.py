"""What the router does for a caller, whichever way the request came in."""
