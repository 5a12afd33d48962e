"""Other services, seen through the trainer's ports."""
