"""Model servers on this machine: downloads, processes, replicas and housekeeping."""
