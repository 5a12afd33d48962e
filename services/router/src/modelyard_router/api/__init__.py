"""HTTP: the ordinary path of every request, and all that is not a prediction."""
