"""How every test starts Chromium: without a sandbox, a GPU or requests of its own."""

__all__ = ["FLAGS"]

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
