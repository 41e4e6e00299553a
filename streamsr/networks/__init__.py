"""One architecture a file. Imports torch and streamsr.core alone."""
