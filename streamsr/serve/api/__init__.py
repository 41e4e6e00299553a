"""The API of a node over HTTP, below /api/v1: declared once, documented by what is declared."""
