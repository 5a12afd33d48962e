"""The router's own HTTP/1.1 client: pooled and bounded. General-purpose clients cost 3 to 50 times as much per call."""
