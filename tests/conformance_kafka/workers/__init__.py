"""Programs that the tests start, kill and stall."""
