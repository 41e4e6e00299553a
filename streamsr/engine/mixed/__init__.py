"""Engines that make one frame of two: before and after, and two models."""
