"""The fleet on Ray: its actors, and who starts and asks them. Imported where Ray is there."""
