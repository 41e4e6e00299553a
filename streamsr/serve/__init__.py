"""Watching: WHEP, the page, HLS, snapshots, metrics, health. Never touches a picture."""

from streamsr.serve.app import Server
from streamsr.serve.credentials import make_tls, read_token
from streamsr.serve.viewer_session import Deadlines, Served

__all__ = ["Deadlines", "Served", "Server", "make_tls", "read_token"]
