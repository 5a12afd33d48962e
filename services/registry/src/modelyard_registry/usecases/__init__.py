"""What the registry does, whoever asks."""
