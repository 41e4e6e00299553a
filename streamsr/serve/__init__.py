"""The web server: WHEP, the page, HLS, snapshots, metrics, health. It decodes nothing.

Nothing is imported here, so that ``served`` can be had without the web framework.
"""
