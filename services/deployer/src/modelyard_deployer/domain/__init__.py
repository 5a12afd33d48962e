"""What the deployer decides: values in, values out."""
