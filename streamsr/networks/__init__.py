"""One architecture a file or package. Imports torch, OpenCV and streamsr.core alone."""
