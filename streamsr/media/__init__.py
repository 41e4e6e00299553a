"""All that touches PyAV: sources, pixels, encoders, containers."""

import av.logging

av.logging.set_level(None)  # FFmpeg's log callback takes the GIL, and can deadlock
