"""Files as old cameras and programs make them: they play, but something in them is odd."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from peers.clip import camera_clip

__all__ = ["titled", "two_programmes", "without"]

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


def two_programmes(path: Path, audio_in: int = 2) -> Path:
    """A transport stream of one second with two programmes: 64x48, and 128x96. One has audio."""
    parts = []
    for number in (1, 2):
        part = path.with_name(f"programme{number}.ts")
        options = {
            "mpegts_service_id": str(number),
            "mpegts_start_pid": str(256 * number),
            "mpegts_pmt_start_pid": str(4096 + number),
        }
        with av.open(str(part), "w", format="mpegts", options=options) as out:
            video = out.add_stream("mpeg2video", rate=25)
            video.width, video.height, video.pix_fmt = 64 * number, 48 * number, "yuv420p"
            audio = out.add_stream("mp2", rate=48_000) if number == audio_in else None
            for tick in range(25):
                luma = np.full((72 * number, 64 * number), 90, np.uint8)
                image = av.VideoFrame.from_ndarray(luma, "yuv420p")
                image.pts, image.time_base = tick, Fraction(1, 25)
                out.mux(video.encode(image))
                if audio is not None:
                    samples = av.AudioFrame("s16", "stereo", 1920)
                    samples.sample_rate, samples.pts = 48_000, tick * 1920
                    out.mux(audio.encode(samples))
            out.mux(video.encode(None))
            if audio is not None:
                out.mux(audio.encode(None))
        data = part.read_bytes()
        packets = [data[at : at + 188] for at in range(0, len(data), 188)]
        parts.append([packet for packet in packets if _pid(packet) not in (0, 17)])
    maps = [next(_pid(p) for p in part if p[5:6] == b"\x02") for part in parts]
    path.write_bytes(_association(maps) + b"".join(parts[0]) + b"".join(parts[1]))
    return path


def _pid(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


def _association(maps: list[int]) -> bytes:
    """A packet with the table of programmes, by their maps (ISO/IEC 13818-1, 2.4.4.3)."""
    table = b"\x00\xb0" + bytes([9 + 4 * len(maps)]) + b"\x00\x01\xc1\x00\x00"
    for number, pid in enumerate(maps, 1):
        table += number.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big")
    register = 0xFFFFFFFF
    for byte in table:
        for bit in range(7, -1, -1):
            high = register >> 31 ^ (byte >> bit & 1)
            register = register << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if high else 0)
    packet = b"\x47\x40\x00\x10\x00" + table + register.to_bytes(4, "big")
    return packet.ljust(188, b"\xff")


def _replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)
