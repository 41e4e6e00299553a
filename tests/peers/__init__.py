"""The real peers that tests are run against: cameras, and networks that fail."""

from .camera import GST_INSTALL, RtspCamera, gst_is_installed
from .clip import camera_clip, draw_number, number_in, read_number, scene
from .tcp import MuteServer, RefusingServer, TcpProxy

__all__ = [
    "GST_INSTALL",
    "MuteServer",
    "RefusingServer",
    "RtspCamera",
    "TcpProxy",
    "camera_clip",
    "draw_number",
    "gst_is_installed",
    "number_in",
    "read_number",
    "scene",
]
