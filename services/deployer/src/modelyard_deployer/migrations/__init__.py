"""Steps of the deployer's tables, oldest first in `versions/`."""
