"""What the router keeps on disk besides the spool."""
