"""The fast path of the most common request: from socket to replica and back without ASGI, task or future.

It only handles what it can answer at once: a complete, valid prediction with a known key, sent to a replica that has an
idle connection. Everything else takes the ordinary path (api/), untouched, or continues there after a failed first
attempt.
"""
