"""Watching: WHEP, the page and the health checks. Sends packets, never touches a picture."""

from streamsr.serve.app import Server
from streamsr.serve.session import Deadlines, Served

__all__ = ["Deadlines", "Served", "Server"]
