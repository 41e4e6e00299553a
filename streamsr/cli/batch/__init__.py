"""Many files upscaled by one command, here or by a fleet."""
