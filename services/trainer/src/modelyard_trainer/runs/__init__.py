"""The supervisor: moves every open run to its next step, from what is stored and what is running."""
