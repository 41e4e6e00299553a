"""Files as old cameras and programs make them: they play, but something in them is odd."""

from pathlib import Path

import av

from peers.clip import camera_clip

__all__ = ["titled", "without"]

AUDIO, VIDEO = b"A_AAC", b"V_MPEG4/ISO/AVC"  # Matroska's names of the codecs


def titled(path: Path, seconds: float = 1.0) -> Path:
    """A .mkv clip whose title is in Latin-1."""
    whole = camera_clip(path.with_name("untitled.mkv"), seconds=seconds)
    with av.open(whole) as source, av.open(path, "w") as out:
        out.metadata["title"] = "Zurich"
        copies = {s.index: out.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    path.write_bytes(_replaced(path.read_bytes(), b"Zurich", "Zürich".encode("latin-1")))
    return path


def without(kind: str, path: Path, seconds: float = 1.0) -> Path:
    """A .mkv clip with a stream, "audio" or "video", that nothing can decode."""
    codec = {"audio": AUDIO, "video": VIDEO}[kind]
    whole = camera_clip(path, seconds=seconds)
    path.write_bytes(_replaced(whole.read_bytes(), codec, codec[:-3] + b"XYZ"))
    return path


def _replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)
