"""What a file carries is in the file that is made of it: tracks, times, names; or it is named."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from peers.film import Span, film, full_film

STILL = [(0.0, 1.0)]
SECOND = [(n / 25, 0.04) for n in range(25)]
SLIDES = [(6.0 * n, 6.0) for n in range(4)]
OPTIONS = ("--overwrite", "--set", "input.deinterlace=off", "--scale", "1")

Upscaled = Callable[..., dict[str, Any]]


def lasts(path: Path) -> dict[str, tuple[float, float]]:
    """When each kind of track begins and ends, in seconds, by its packets."""
    spans: dict[str, tuple[float, float]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.pts is None or packet.size <= 2:  # nothing, or a text that is none
                continue
            begin = float(packet.pts * packet.time_base)
            end = begin + float((packet.duration or 0) * packet.time_base)
            first, last = spans.get(packet.stream.type, (begin, end))
            spans[packet.stream.type] = min(first, begin), max(last, end)
    return spans


def tones(path: Path) -> list[Span]:
    """From when to when there is a tone."""
    found: list[list[float]] = []
    with av.open(str(path)) as container:
        for samples in container.decode(audio=0):
            wave = np.abs(samples.to_ndarray()[0].astype(float))
            wave /= 32_768 if samples.format.name.startswith("s16") else 1
            for index in np.flatnonzero(wave > 0.1)[::8]:
                time = samples.time + index / samples.sample_rate
                if not found or time - found[-1][1] > 0.05:
                    found.append([time, time])
                found[-1][1] = time
    return [(begin, end) for begin, end in found if end - begin > 0.03]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize(
    ("frames", "audio"),
    [
        (STILL, [(0.0, 12.0)]),
        (SECOND, [(0.0, 5.0)]),
        (SECOND, [(0.5, 2.5)]),
        (SLIDES, [(0.0, 24.0)]),
        (
            SECOND * 1 + [(n / 25, 0.04) for n in range(25, 150)],
            [(0.5, 1.0), (2.0, 2.5), (4.0, 7.0)],
        ),
    ],
    ids=["still", "tail", "late", "slides", "here and there"],
)
def test_all_audio_is_in_the_file_at_its_time(
    upscaled: Upscaled,
    tmp_path: Path,
    frames: list[tuple[float, float]],
    audio: list[Span],
    codec: str,
    suffix: str,
) -> None:
    source = film(tmp_path / "in.mkv", frames, audio, codec)
    target = tmp_path / f"out{suffix}"
    summary = upscaled(source, target, *OPTIONS)
    assert (summary["audio_dropped"], summary["not_kept"]) == (0, [])
    begin, end = lasts(target)["audio"]
    assert begin == pytest.approx(audio[0][0], abs=0.04)
    assert end == pytest.approx(audio[-1][1], abs=0.04)
    heard = tones(target)
    assert len(heard) == len(audio)
    assert np.array(heard) == pytest.approx(np.array(audio), abs=0.04)
    shown = frames[-1][0] + frames[-1][1]
    if suffix == ".mp4":
        assert lasts(target)["video"][1] == pytest.approx(shown, abs=0.04)


def tracks(path: Path) -> list[tuple[object, ...]]:
    """Kind, language, default flag and channels of each track."""
    with av.open(str(path)) as container:
        return [
            (
                stream.type,
                stream.metadata.get("language", "und"),
                bool(stream.disposition & av.stream.Disposition.default),
                bool(stream.disposition & av.stream.Disposition.attached_pic),
                getattr(stream.codec_context, "channels", 0),
            )
            for stream in container.streams
            if stream.type not in ("attachment", "data")
        ]


def texts(path: Path, number: int) -> list[tuple[Fraction, str]]:
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[number]
        found = []
        for packet in container.demux(stream):
            for text in packet.decode() if packet.size else []:
                found.append((round(packet.pts * packet.time_base, 3), text.dialogue.decode()))
    return found


def uneven(path: Path) -> list[float]:
    """Seconds at which a packet of audio does not begin where the one before it ends."""
    found, ends = [], {}
    with av.open(str(path)) as container:
        for packet in container.demux(*container.streams.audio):
            if packet.pts is not None and packet.size:
                begin, track = packet.pts * packet.time_base, packet.stream.index
                if abs(ends.get(track, begin) - begin) > 0.002:
                    found.append(float(begin))
                ends[track] = begin + packet.duration * packet.time_base
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_a_file_carries_is_kept(upscaled: Upscaled, tmp_path: Path, suffix: str) -> None:
    source, target = full_film(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    summary = upscaled(source, target, *OPTIONS)
    given, made = tracks(source), tracks(target)
    assert [kind for kind, *_ in given] == ["video", *["audio"] * 3, *["subtitle"] * 2, "video"]
    assert made == given
    with av.open(str(source)) as before, av.open(str(target)) as after:
        for tag in ("title", "creation_time"):
            assert after.metadata[tag] == before.metadata[tag]
        named = [(c["metadata"]["title"], c["start"] * c["time_base"]) for c in after.chapters()]
        assert named == [("One", 0), ("Two", 1)]
        title = after.streams.audio[1].metadata
        assert "Surround" in (title.get("title"), title.get("handler_name"))
        fonts = [stream.metadata["filename"] for stream in after.streams.attachments]
    if suffix == ".mkv":
        assert (fonts, summary["not_kept"]) == (["font.ttf"], [])
    else:
        assert summary["not_kept"] == ["the attachment font.ttf: no place for it"]
    for number in range(2):
        assert texts(target, number) == texts(source, number)
    assert uneven(target) == []
    spans, wanted = lasts(target), lasts(source)
    for kind in ("video", "audio", "subtitle"):
        assert spans[kind] == pytest.approx(wanted[kind], abs=0.04)


def test_what_has_come_into_mp4_goes_back_to_mkv(upscaled: Upscaled, tmp_path: Path) -> None:
    source, there = full_film(tmp_path / "in.mkv"), tmp_path / "there.mp4"
    back = tmp_path / "back.mkv"
    upscaled(source, there, *OPTIONS)
    summary = upscaled(there, back, *OPTIONS)
    assert summary["not_kept"] == []
    assert tracks(back) == tracks(source)
    with av.open(str(back)) as container:
        assert container.streams.audio[1].metadata["title"] == "Surround"
    for (at, text), (wanted_at, wanted) in zip(texts(back, 0), texts(source, 0), strict=True):
        assert text == wanted
        assert float(at) == pytest.approx(float(wanted_at), abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("came_as", [".mp4", ".mkv"])
def test_a_full_film_lasts_as_long_as_its_source(
    upscaled: Upscaled, tmp_path: Path, came_as: str, suffix: str
) -> None:
    source, target = full_film(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    if came_as == ".mp4":
        source = source.with_suffix(came_as)
        upscaled(tmp_path / "in.mkv", source, *OPTIONS)
    upscaled(source, target, *OPTIONS)
    for path in (source, target):
        with av.open(str(path)) as container:
            assert container.duration / av.time_base == pytest.approx(2.0, abs=0.04)
            for text in container.streams.subtitles:
                if path.suffix == ".mp4":
                    assert float(text.duration * text.time_base) == pytest.approx(1.6, abs=0.04)
            ends = [float(c["end"] * c["time_base"]) for c in container.chapters()]
            assert ends == pytest.approx([1, 2], abs=0.04)


def test_more_channels_get_more_bits(upscaled: Upscaled, tmp_path: Path) -> None:
    source, target = full_film(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    upscaled(source, target, *OPTIONS, "--audio", "1")
    with av.open(str(target)) as container:
        (audio,) = container.streams.audio
        assert (audio.codec_context.name, audio.layout.name) == ("aac", "5.1")
        assert len(container.streams.subtitles) == 2
        size = sum(packet.size for packet in container.demux(audio))
    assert size * 8 / 2.0 > 100_000


def test_a_track_that_is_not_there_is_refused(streamsr: Any, tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv", SECOND, [(0.0, 1.0)])
    for option, message in (
        (("--audio", "1"), "got --audio 1, allowed is 0"),
        (("--video", "2"), "got --video 2, allowed is 0"),
        (("--audio", "both"), "--audio: got 'both', allowed is all, or a number from 0"),
    ):
        done = streamsr("upscale", source, tmp_path / "out.mp4", *option)
        assert done.exit_code == 2
        assert message in done.stderr.replace("\n", " ")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_chapters_end_with_the_file(upscaled: Upscaled, tmp_path: Path, suffix: str) -> None:
    """Players take the end of the last one for the file's."""
    source, target = full_film(tmp_path / "in.mkv"), tmp_path / f"out{suffix}"
    for limit_s, wanted in (
        (1.5, [("One", 0, 1), ("Two", 1, 1.52)]),
        (0.5, [("One", 0, 0.52)]),
    ):
        upscaled(source, target, *OPTIONS, "--seconds", limit_s)
        with av.open(str(target)) as made:
            found = made.chapters()
            assert not made.streams.data  # which would last as long as they did
        assert [c["metadata"]["title"] for c in found] == [title for title, _, _ in wanted]
        assert [c["start"] * c["time_base"] for c in found] == [begin for _, begin, _ in wanted]
        if suffix == ".mkv":  # MP4 has no end of a chapter
            assert float(found[-1]["end"] * found[-1]["time_base"]) == wanted[-1][2]


@pytest.mark.parametrize("limit", [("--seconds", "1"), ("--frames", "25")])
def test_a_limit_ends_audio_with_the_frames(
    upscaled: Upscaled, tmp_path: Path, limit: tuple[str, str]
) -> None:
    frames = [(n / 25, 0.04) for n in range(75)]
    source, target = film(tmp_path / "in.mkv", frames, [(0.0, 3.0)]), tmp_path / "out.mp4"
    summary = upscaled(source, target, *OPTIONS, *limit)
    assert (summary["frames_out"], summary["audio_dropped"]) == (25, 0)
    assert lasts(target)["audio"][1] == pytest.approx(1.0, abs=0.04)
    assert lasts(target)["video"][1] == pytest.approx(1.0, abs=0.04)


def test_what_images_have_no_place_for_is_named(upscaled: Upscaled, tmp_path: Path) -> None:
    source = film(tmp_path / "in.mkv", SECOND, [(0.0, 1.0)], "aac")
    assert upscaled(source, tmp_path / "out", "--scale", "1")["not_kept"] == ["audio 0 (aac)"]


def test_what_a_decoder_holds_back_is_there(upscaled: Upscaled, tmp_path: Path) -> None:
    """That of WMA gives the last 43 ms at the end alone."""
    source = tmp_path / "in.avi"
    with av.open(str(source), "w") as out:
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("wmav2", rate=44_100, layout="stereo")
        audio.bit_rate = 64_000
        image = av.VideoFrame(64, 48, "yuv420p")
        for number in range(10):
            image.pts, image.time_base = number, Fraction(1, 25)
            out.mux(video.encode(image))
            samples = av.AudioFrame("fltp", "stereo", 2048)
            for plane in samples.planes:
                plane.update(bytes(plane.buffer_size))
            samples.sample_rate, samples.pts = 44_100, 2048 * number
            out.mux(audio.encode(samples))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    lasts_s = []
    for path in (source, tmp_path / "out.mp4"):
        if path != source:
            upscaled(source, path, *OPTIONS)
        with av.open(str(path)) as container:
            pieces = list(container.decode(audio=0))
        lasts_s.append(sum(piece.samples / piece.sample_rate for piece in pieces))
    assert lasts_s[0] < lasts_s[1] < lasts_s[0] + 0.045, "with priming, in whole packets of AAC"
