"""Cameras over many machines: who runs what, moved when a machine dies, and one face for all."""
