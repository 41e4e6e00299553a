"""All that touches PyAV: sources, pixels, encoders, containers."""
