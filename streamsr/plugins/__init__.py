"""What other packages and programs add to streamsr: sources, sinks and networks, by name."""
