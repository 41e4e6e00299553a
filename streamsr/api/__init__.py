"""streamsr in a program of one's own: images in, images out, or a whole pipeline."""
