"""Video encoders beside the CPU: which there are, a trial of each, and which is taken."""
