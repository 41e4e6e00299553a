"""Watching over WebRTC: sessions, connections, and what they say to each other."""
