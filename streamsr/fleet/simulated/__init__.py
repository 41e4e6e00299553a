"""A fleet in simulated time: what is bad for one happens, and nobody waits for it."""
