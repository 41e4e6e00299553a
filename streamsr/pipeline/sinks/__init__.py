"""What takes the frames and the packets of a pipeline in its own process, files apart."""
