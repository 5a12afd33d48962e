"""Use cases of the deployer. They record requests; the reconciler carries them out."""
