"""streamsr."""
