"""Interlaced video: whether a source is, and one moment a frame made of it."""
