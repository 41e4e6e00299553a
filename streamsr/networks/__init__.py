"""One architecture a file. Imports torch and the ground floor, nothing above."""
