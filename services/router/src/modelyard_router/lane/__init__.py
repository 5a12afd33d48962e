"""The short way of the commonest request: from the socket to the replica and back without ASGI, task or future.

It only answers what it can answer well at once: a whole, valid prediction by a known key, to a replica with an idle
connection. Anything else goes the ordinary way (api.py), untouched, or goes on there after a first attempt that failed.
"""
