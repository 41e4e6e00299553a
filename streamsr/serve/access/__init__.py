"""Who may ask what of the server, and how often."""
