"""The console: web pages over the APIs of the other services."""
