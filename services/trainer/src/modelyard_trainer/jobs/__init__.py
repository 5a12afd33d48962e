"""Training jobs on this machine: worker processes, their folders, and the Ray they share."""
