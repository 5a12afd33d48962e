"""The router's own HTTP/1.1 client: pooled, bounded, plain HTTP. General ones cost 3 to 50 times as much per call."""
