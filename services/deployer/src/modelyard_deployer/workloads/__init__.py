"""Model servers on this machine: downloads, processes, replicas, and cleaning up after them."""
