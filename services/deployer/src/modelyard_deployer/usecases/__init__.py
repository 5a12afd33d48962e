"""Actions of the deployer. They only record what is requested; the reconciler carries it out."""
