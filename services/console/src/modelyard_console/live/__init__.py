"""Changes of all services, passed on to open pages."""
