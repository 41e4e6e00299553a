"""Fragments of a stream for players in browsers: over a WebSocket, and as low-latency HLS."""
