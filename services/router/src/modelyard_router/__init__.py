"""The data path: one request, one version, one answer."""
