"""The web server: the page, WHEP, HLS, snapshots, metrics and health. It decodes nothing."""
