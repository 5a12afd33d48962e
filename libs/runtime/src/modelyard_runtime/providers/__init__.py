"""Where the servers come from: a given address, Docker, or the local development server."""
