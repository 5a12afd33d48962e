"""What the tests of the trainer share."""
