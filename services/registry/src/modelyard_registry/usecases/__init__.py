"""Use cases of the registry, independent of who calls them."""
