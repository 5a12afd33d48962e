"""The deployer's records in SQL."""
