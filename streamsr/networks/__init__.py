"""One architecture a file. Imports torch, OpenCV and streamsr.core alone."""
