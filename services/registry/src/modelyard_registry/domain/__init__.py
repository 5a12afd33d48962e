"""Rules of the registry: values in, values out."""
