"""One module per family of formats: bytes in, findings out."""
