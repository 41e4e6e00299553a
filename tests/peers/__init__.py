"""The real peers that tests are run against: cameras, and networks that fail."""

from .camera import GST_INSTALL, RtspCamera, gst_is_installed
from .clip import camera_clip, draw_number, number_in, read_number, scene
from .scripted_camera import ScriptedCamera, access_units
from .servers import NGINX_INSTALL, NginxProxy, RtmpServer, RtspServer, nginx_is_installed
from .studio import FPS, ROUND, Seen, Studio, coded_frames, packets, seen
from .tcp import MuteServer, RefusingServer, TcpProxy

__all__ = [
    "FPS",
    "GST_INSTALL",
    "NGINX_INSTALL",
    "ROUND",
    "MuteServer",
    "NginxProxy",
    "RefusingServer",
    "RtmpServer",
    "RtspCamera",
    "RtspServer",
    "ScriptedCamera",
    "Seen",
    "Studio",
    "TcpProxy",
    "access_units",
    "camera_clip",
    "coded_frames",
    "draw_number",
    "gst_is_installed",
    "nginx_is_installed",
    "number_in",
    "packets",
    "read_number",
    "scene",
    "seen",
]
