"""Twenty small files of the containers and codecs that people have, each half a second long."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from peers.clip import scene

__all__ = ["ORIGINALS", "write_originals"]

RATE = 25
FRAMES = 14
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}

# name: (video codec, pixel format, size, audio codec, what is special)
ORIGINALS: dict[str, tuple[str, str, tuple[int, int], str | None, dict[str, Any]]] = {
    "b-frames.mp4": ("libx264", "yuv420p", (96, 64), "aac", {"b_frames": 2}),
    "fragments.mp4": ("libx264", "yuv420p", (96, 64), "aac", {"options": FRAGMENTS}),
    "odd.mp4": ("mpeg4", "yuv420p", (97, 63), "aac", {}),
    "hevc.mp4": ("libx265", "yuv420p", (96, 64), "aac", {"b_frames": 2}),
    "chapters.mkv": ("libx264", "yuv420p", (96, 64), "flac", {"b_frames": 2, "subtitles": True}),
    "ten-bit.mkv": ("libx265", "yuv420p10le", (96, 64), "ac3", {}),
    "lossless.mkv": ("ffv1", "yuv444p", (93, 61), "pcm_s16le", {}),
    "camera.ts": ("libx264", "yuv420p", (96, 64), "aac", {"b_frames": 2}),
    "broadcast.ts": ("mpeg2video", "yuv420p", (96, 64), "mp2", {"interlaced": True, "b_frames": 2}),
    "old.avi": ("mpeg4", "yuv420p", (96, 64), "libmp3lame", {}),
    "photo.avi": ("mjpeg", "yuvj420p", (96, 64), "pcm_s16le", {}),
    "phone.mov": ("libx264", "yuv420p", (64, 96), "aac", {"aspect": Fraction(4, 3)}),
    "studio.mov": ("prores_ks", "yuv422p10le", (96, 64), "pcm_s16le", {}),
    "stream.flv": ("libx264", "yuv420p", (96, 64), "aac", {"b_frames": 1}),
    "vp8.webm": ("libvpx", "yuv420p", (96, 64), "libopus", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", (96, 64), "libopus", {}),
    "disc.mpg": ("mpeg1video", "yuv420p", (96, 64), "mp2", {}),
    "windows.wmv": ("wmv2", "yuv420p", (96, 64), "wmav2", {}),
    "animation.gif": ("gif", "rgb8", (96, 64), None, {}),
    "frames": ("png", "rgb24", (96, 64), None, {}),  # a folder
}
FAST = {
    "libx264": {"preset": "ultrafast", "bf": "2"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def write_originals(folder: Path) -> list[Path]:
    """Writes them all into ``folder``, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (codec, pixels, size, audio, special) in ORIGINALS.items():
        if codec == "png":
            _write_frames(folder / name, size)
        else:
            _write(folder / name, codec, pixels, size, audio, **special)
    return [folder / name for name in ORIGINALS]


def _write(
    path: Path,
    codec: str,
    pixels: str,
    size: tuple[int, int],
    audio_codec: str | None,
    *,
    b_frames: int = 0,
    interlaced: bool = False,
    subtitles: bool = False,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> None:
    with av.open(path, "w", options=options or {}) as out:
        video = out.add_stream(codec, rate=RATE)
        video.width, video.height = size
        video.pix_fmt, video.gop_size = pixels, 6
        if b_frames and codec != "libx265":
            video.max_b_frames = b_frames
        video.codec_context.thread_count = 1
        video.options = dict(FAST.get(codec, {}))
        if interlaced:
            video.options |= {"flags": "+ilme+ildct"}
        if aspect is not None:
            video.sample_aspect_ratio = aspect
        audio = None if audio_codec is None else out.add_stream(audio_codec, rate=48_000)
        if audio is not None:
            audio.layout, audio.bit_rate = "stereo", 64_000
        copied = _subtitles(path, out) if subtitles else None
        _encode(out, video, size, pixels)
        if audio is not None:
            _encode_tone(out, audio)
        if copied is not None:
            copied()


def _encode(out: Any, video: Any, size: tuple[int, int], pixels: str) -> None:
    for number, (luma, *_) in enumerate(scene(*size, FRAMES)):
        colours = np.stack([luma, np.roll(luma, 9, 1), 255 - luma], 2)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(colours), "rgb24")
        frame = frame.reformat(format=pixels)
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        out.mux(video.encode(frame))
    out.mux(video.encode(None))


def _encode_tone(out: Any, audio: Any) -> None:
    resampler = av.AudioResampler(audio.format, audio.layout, 48_000, audio.frame_size or 1024)
    time = np.arange(48_000 * FRAMES // RATE) / 48_000
    wave = (6000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    samples = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], "s16", "stereo")
    samples.sample_rate, samples.pts, samples.time_base = 48_000, 0, Fraction(1, 48_000)
    for given in (samples, None):
        for frame in resampler.resample(given):
            out.mux(audio.encode(frame))
    out.mux(audio.encode(None))


def _subtitles(path: Path, out: Any) -> Callable[[], None]:
    """Adds a track of subtitles and two chapters; what is returned writes them."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n\n")
    source = av.open(text)
    track = out.add_stream_from_template(source.streams.subtitles[0])
    millisecond = Fraction(1, 1000)
    out.set_chapters(
        [
            {"id": 1, "start": 0, "end": 200, "time_base": millisecond, "metadata": {"title": "A"}},
            {"id": 2, "start": 200, "end": 560, "time_base": millisecond, "metadata": {}},
        ]
    )

    def write() -> None:
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = track
                out.mux(packet)
        source.close()
        text.unlink()

    return write


def _write_frames(folder: Path, size: tuple[int, int]) -> None:
    folder.mkdir(exist_ok=True)
    for number, (luma, *_) in enumerate(scene(*size, 4)):
        cv2.imwrite(str(folder / f"frame{number}.png"), np.stack([luma, luma, 255 - luma], 2))
