"""Images of every kind a program may have, as frames, and back."""
