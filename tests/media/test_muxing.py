"""Written files, opened again: colours, pixel shape, audio, time, and what a kill leaves."""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path

import av
import numpy as np
import pytest
from peers import number_in, scene
from peers.film import film
from peers.killed import killed_once_written

from streamsr.core.errors import OutputError
from streamsr.core.events import Code, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.core.packet import Packet, Track
from streamsr.core.settings import EncoderSettings
from streamsr.media.addresses import check_writable
from streamsr.media.encoder import VideoEncoder
from streamsr.media.muxing import FileWriter
from streamsr.media.pixels import to_av
from streamsr.media.source import AudioFrame, SourceInfo
from streamsr.media.tracks.carried import codec_of, lasting
from streamsr.sources.files import FileSource

RATE = Fraction(25)
HZ = 48_000
ENDINGS = pytest.mark.parametrize("suffix", [".mp4", ".mkv"])


class Writing:
    """Frames and audio into a file, as ``streamsr.pipeline.delivery`` sends them."""

    def __init__(self, path: Path, info: SourceInfo, aspect: Fraction = Fraction(1)) -> None:
        self.writer = FileWriter(path)
        self._info = info
        self._aspect = aspect
        self._encoder: VideoEncoder | None = None

    def frame(self, frame: Frame) -> None:
        settings = EncoderSettings(gop_s=0.2)
        self._encoder = self._encoder or VideoEncoder(settings, frame, RATE, self._aspect)
        for encoded in self._encoder.encode(frame):
            assert encoded.pts is not None
            packet = Packet(
                Track.OUTPUT,
                bytes(encoded),
                encoded.pts,
                encoded.time_base,
                encoded.is_keyframe,
            )
            self.writer.video(packet, self._info, (frame.width, frame.height))


def silent(audio_codec: str = "") -> SourceInfo:
    return SourceInfo(128, 72, RATE, Fraction(1), "h264", "yuv420p", audio_codec=audio_codec)


def numbered(count: int, tags: ColourTags | None = None) -> Iterator[Frame]:
    tags = tags or ColourTags(1, 1, 1)
    for number, planes in enumerate(scene(128, 72, count, full_range=tags.full_range)):
        yield Frame(planes, tags, 3600 * number, Fraction(1, 90_000))


def rewrite(source: Path, target: Path, follow_s: float | None = None) -> FileWriter:
    """Read a file and write it again, audio and all, in the order in which it comes."""

    def fail(event: Event) -> None:
        if event.code is not Code.SRC_TIME:  # joined recordings
            raise AssertionError(event)

    writing: Writing | None = None
    held: list[AudioFrame] = []
    for item in FileSource(str(source), fail, follow_s).items(threading.Event()):
        if isinstance(item, SourceInfo):
            writing = Writing(target, item, item.sample_aspect)
        elif isinstance(item, Frame):
            assert writing is not None
            writing.frame(item)
            for audio in held:
                writing.writer.audio(audio)
            held.clear()
        else:
            held.append(item)
    assert writing is not None
    for audio in held:
        writing.writer.audio(audio)
    writing.writer.close()
    return writing.writer


def numbers(path: Path) -> list[int | None]:
    with av.open(path) as container:
        return [number_in(image) for image in container.decode(video=0)]


def audio_packets(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size]


@ENDINGS
@pytest.mark.parametrize(
    ("matrix", "full"), list(product((6, 1), (False, True))), ids=["601", "601f", "709", "709f"]
)
def test_colour_pixel_shape_and_time_are_in_the_file(
    tmp_path: Path, suffix: str, matrix: int, full: bool
) -> None:
    tags = ColourTags(matrix, matrix, matrix, full)
    path = tmp_path / f"out{suffix}"
    writing = Writing(path, silent(), aspect=Fraction(4, 3))
    for frame in numbered(7, tags):
        writing.frame(frame)
    writing.writer.close()
    with av.open(path) as container:
        video = container.streams.video[0]
        assert video.sample_aspect_ratio == Fraction(4, 3)
        assert abs(video.average_rate - RATE) < 0.1
        images = list(container.decode(video))
    for image in images:
        got = (image.colorspace, image.color_primaries, image.color_trc, image.color_range)
        assert got == (matrix, matrix, matrix, 2 if full else 1)
    assert [number_in(p) for p in images] == list(range(7))
    assert [p.time for p in images] == pytest.approx([n / 25 for n in range(7)], abs=1e-3)


@ENDINGS
@pytest.mark.parametrize("count", range(60, 70))
def test_a_file_lasts_to_its_last_frame_whichever_is_decoded_last(
    tmp_path: Path, suffix: str, count: int
) -> None:
    path, info, still = tmp_path / f"out{suffix}", silent(), next(iter(numbered(1)))
    settings = EncoderSettings(low_delay=False, preset="medium")
    frames = [replace(frame, planes=still.planes) for frame in numbered(count)]
    encoder, writer = VideoEncoder(settings, frames[0], RATE, Fraction(1)), FileWriter(path)
    coded = [packet for frame in frames for packet in encoder.encode(frame)] + encoder.flush()
    for packet in encoder.packets(Track.OUTPUT, coded, None):
        writer.video(packet, info, (128, 72))
    writer.close()
    with av.open(path) as container:
        assert container.duration == pytest.approx(count * 40_000, abs=1000)
        video = container.streams.video[0]
        assert video.average_rate == RATE
        if suffix == ".mp4":
            assert video.duration * video.time_base == count / RATE
        assert sum(1 for _ in container.decode(video)) == count


def test_a_player_finds_the_colour_in_mp4_without_decoding(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    writing = Writing(path, silent())
    for frame in numbered(3, ColourTags(1, 1, 1, full_range=True)):
        writing.frame(frame)
    writing.writer.close()
    assert b"colrnclx\x00\x01\x00\x01\x00\x01\x80" in path.read_bytes()  # ISO/IEC 14496-12, 12.1.5


CHILD = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_muxing import Writing, numbered, silent
writing = Writing(Path({target!r}), silent())
for frame in numbered(53):
    writing.frame(frame)
print("written", flush=True)
sys.stdin.read()
"""


@ENDINGS
def test_a_killed_writer_leaves_a_file_that_plays(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    script = CHILD.format(paths=paths, target=str(target))
    killed_once_written(script)
    found = numbers(target)
    assert found == list(range(len(found)))
    # MP4 up to its last whole GOP of 5; MKV up to its last cluster of a second
    assert len(found) >= (50 if suffix == ".mp4" else 25)


@ENDINGS
def test_audio_that_players_take_is_copied(
    tmp_path: Path, suffix: str, clip: Callable[..., Path]
) -> None:
    source, target = clip(seconds=2.0), tmp_path / f"out{suffix}"
    rewrite(source, target)
    assert audio_packets(target) == audio_packets(source)  # priming before 0 too
    assert numbers(target) == list(range(50))
    assert timing(target) == pytest.approx(timing(source), abs=0.001)


def timing(path: Path) -> tuple[float, ...]:
    """The seconds at which its tracks begin, of the whole, and of the audio that is heard."""
    with av.open(path) as container:
        begins = [float(s.start_time * s.time_base) for s in container.streams]
        lasts = container.duration / av.time_base
        heard = [samples.samples / HZ for samples in container.decode(audio=0)]
        return (*begins, lasts, sum(heard))


def tick_clip(path: Path, codec: str, seconds: int = 4) -> Path:
    """White frames at 1, 2, … s for 80 ms, and a beep that begins with each."""
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream(codec, rate=HZ, layout="mono")
        for n in range(25 * seconds):
            lit = n >= 25 and n % 25 < 2
            luma = np.full((48, 64), 235 if lit else 30, np.uint8)
            image = av.VideoFrame.from_ndarray(
                np.vstack([luma, np.full((24, 64), 128, np.uint8)]), "yuv420p"
            )
            image.pts, image.time_base = n, 1 / RATE
            out.mux(video.encode(image))
            time = np.arange(n * HZ // 25, (n + 1) * HZ // 25) / HZ
            wave = (lit * 25_000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16)
            samples = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
            samples.sample_rate, samples.pts = HZ, n * HZ // 25
            samples.time_base = Fraction(1, HZ)
            out.mux(audio.encode(samples))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


def flashes(path: Path) -> list[float]:
    """When the video turns white, in seconds."""
    with av.open(path) as container:
        shown = [(p.time, p.to_ndarray()[:48].mean() > 128) for p in container.decode(video=0)]
    return [t for (_, before), (t, lit) in pairwise(shown) if lit > before]


def beeps(path: Path) -> list[float]:
    """When a beep begins: loud after a tenth of a second of quiet."""
    times, last = [], -1.0
    with av.open(path) as container:
        for samples in container.decode(audio=0):
            wave = np.abs(samples.to_ndarray().astype(float))
            wave = wave[:, :: len(samples.layout.channels)] if len(wave) == 1 else wave
            peak = 32_768 if samples.format.name.startswith("s16") else 1
            for index in np.flatnonzero(wave[0] > 0.2 * peak):
                time = samples.time + index / samples.sample_rate
                if time - last > 0.1:
                    times.append(time)
                last = time
    return times


@ENDINGS
@pytest.mark.parametrize(
    ("source", "codec", "written"),
    [("a.mp4", "aac", "aac"), ("a.mkv", "aac", "aac"), ("a.mov", "pcm_s24be", "aac")],
)
def test_frame_and_audio_stay_in_step(
    tmp_path: Path, suffix: str, source: str, codec: str, written: str
) -> None:
    made = tick_clip(tmp_path / source, codec)
    target = tmp_path / f"out{suffix}"
    rewrite(made, target)
    with av.open(target) as container:
        assert container.streams.audio[0].codec_context.name == written
    seen, heard = flashes(target), beeps(target)
    assert seen == pytest.approx([1, 2, 3], abs=0.03)
    assert heard == pytest.approx(seen, abs=0.04)


def test_audio_without_a_codec_is_encoded(tmp_path: Path) -> None:
    """As the built-in camera gives it: samples."""
    path = tmp_path / "out.mp4"
    writing = Writing(path, silent("pcm_s16le"))
    for n, frame in enumerate(numbered(25)):
        writing.frame(frame)
        wave = (20_000 * np.sin(np.arange(1920) * 0.13)).astype(np.int16)
        samples = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        samples.sample_rate = HZ
        writing.writer.audio(AudioFrame(n / 25, "pcm_s16le", samples=samples))
    writing.writer.close()
    with av.open(path) as container:
        heard = [s.to_ndarray() for s in container.decode(audio=0)]
        assert container.streams.audio[0].codec_context.name == "aac"
    assert sum(h.shape[1] for h in heard) == pytest.approx(HZ, abs=2048)
    assert max(np.abs(h).max() for h in heard) > 0.3


def test_repeated_audio_is_left_out(tmp_path: Path, clip: Callable[..., Path]) -> None:
    """After a reconnect a source may give once more what it gave before."""
    path, source = tmp_path / "out.mp4", clip(seconds=2.0)
    items = list(FileSource(str(source), lambda event: None).items(threading.Event()))
    audios = [item for item in items if isinstance(item, AudioFrame)]
    info = next(item for item in items if isinstance(item, SourceInfo))
    writing = Writing(path, info)
    for frame in numbered(25):
        writing.frame(frame)
    for audio in [*audios[:20], *audios[10:30]]:
        writing.writer.audio(audio)
    writing.writer.close()
    assert audio_packets(path) == audio_packets(source)[:30]
    assert writing.writer.not_kept == ["audio 0 (aac): 10 packets that repeat earlier ones"]


def test_audio_of_a_silent_file_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    writing = Writing(path, silent())
    for frame in numbered(3):
        writing.frame(frame)
        writing.writer.audio(AudioFrame(0.0, "aac", packet=av.Packet(b"noise")))
    writing.writer.close()
    writing.writer.close()  # again: nothing
    with av.open(path) as container:
        assert len(container.streams.audio) == 0


def test_a_writer_that_never_had_a_frame_leaves_no_file(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path / "out.mp4")
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for name, reason in (
        ("out.avi", r"'\.avi', allowed are \.mp4, \.mkv"),
        ("out", "no ending"),
        ("folder.mp4", "a folder of that name"),
        ("missing/out.mp4", "does not exist"),
    ):
        with pytest.raises(OutputError, match=reason):
            check_writable(tmp_path / name)


def test_checking_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    check_writable(path)
    assert path.read_bytes() == b"precious"
    check_writable(tmp_path / "new.mkv")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    path.symlink_to("/dev/full")
    writing = Writing(path, silent())

    def fill() -> None:
        for frame in numbered(100):
            writing.frame(frame)

    with pytest.raises(OutputError, match=r"out\.mkv: cannot be written: No space left"):
        fill()


def with_audio(
    path: Path, codec: str, layout: str = "mono", first: int = 0, **options: str
) -> Path:
    """Two seconds of numbers, and a tone in ``codec``."""
    with av.open(str(path), "w", options=options) as out:
        video = out.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        audio = out.add_stream(codec, rate=HZ, layout=layout)
        for number, planes in enumerate(scene(320, 180, 50, first, False)):
            image = to_av(Frame(tuple(planes), ColourTags(1, 1, 1), number, Fraction(1, 25)))
            out.mux(video.encode(image))
            wave = (9000 * np.sin(np.arange(1920) * 0.06)).astype(np.int16)
            channels = 2 if layout == "stereo" else 1
            samples = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], "s16", layout)
            samples.sample_rate, samples.pts = HZ, number * 1920
            out.mux(audio.encode(samples))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "suffix"), [("aac", ".ts"), ("ac3", ".mkv"), ("mp2", ".ts"), ("pcm_mulaw", ".mov")]
)
def test_audio_that_mp4_cannot_begin_with_is_encoded(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    source, target = with_audio(tmp_path / f"in{suffix}", codec), tmp_path / "out.mp4"
    rewrite(source, target)
    with av.open(str(target)) as container:
        (audio,) = container.streams.audio
        seconds = sum(f.samples for f in container.decode(audio)) / HZ
    assert seconds == pytest.approx(2, abs=0.15)
    assert numbers(target) == list(range(50))


def test_audio_that_changes_its_format_and_steps_back_goes_on(tmp_path: Path) -> None:
    parts = [
        with_audio(tmp_path / f"{layout}.ts", "mp2", layout, first)
        for layout, first in (("mono", 0), ("stereo", 50))
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    target = tmp_path / "out.mp4"
    rewrite(joined, target)
    assert numbers(target) == list(range(100))
    with av.open(str(target)) as container:
        seconds = sum(f.samples for f in container.decode(audio=0)) / HZ
    assert seconds == pytest.approx(4, abs=0.4)


@pytest.mark.parametrize("follow_s", [None, 0.05], ids=["a file", "in order"])
@pytest.mark.parametrize("codec", ["aac", "mp2", "ac3"])
def test_audio_that_begins_late_in_a_transport_stream_is_kept(
    tmp_path: Path, codec: str, follow_s: float | None
) -> None:
    """After FFmpeg has looked at the file, which then knows no rate, and few stamps."""
    source, target = tmp_path / "in.ts", tmp_path / "out.mkv"
    film(source, [(n / 25, 0.04) for n in range(225)], [(8.0, 9.0)], codec)
    with av.open(str(source)) as container:
        assert container.streams.audio[0].codec_context.sample_rate == 0
    assert rewrite(source, target, follow_s).not_kept == []
    with av.open(str(target)) as container:
        frames = list(container.decode(audio=0))
    heard = [f for f in frames if np.abs(f.to_ndarray()).max() > 0.1]
    assert sum(f.samples for f in heard) / HZ == pytest.approx(1, abs=0.1)
    assert heard[0].time == pytest.approx(8.0, abs=0.1)
    assert heard[-1].time == pytest.approx(9.0, abs=0.1)


def tone(path: Path, codec: str, rate: int, seconds: float, size: int = 0) -> Path:
    """Audio alone, in mono; ``size``: samples in a packet, where the codec leaves it open."""
    count = round(rate * seconds)
    wave = (9000 * np.sin(np.arange(count) * 0.06)).astype(np.int16)[None]
    with av.open(str(path), "w") as out:
        audio = out.add_stream(codec, rate=rate, layout="mono")
        for at in range(0, count, size or count):
            piece = np.ascontiguousarray(wave[:, at : at + (size or count)])
            samples = av.AudioFrame.from_ndarray(piece, "s16", "mono")
            samples.sample_rate, samples.pts, samples.time_base = rate, at, Fraction(1, rate)
            out.mux(audio.encode(samples))
        out.mux(audio.encode(None))
    return path


def copied(path: Path, sources: Sequence[Path]) -> tuple[list[bytes], FileWriter]:
    """Copies audio as of cameras that come back one after the other; what was read of the first."""
    with ExitStack() as stack:
        tracks = [stack.enter_context(av.open(str(s))).streams.audio[0] for s in sources]
        info = replace(silent(), audio=lasting(tracks[0]), audio_codec=codec_of(tracks[0]))
        writing, begin_s, first = Writing(path, info), 0.0, []
        writing.frame(next(numbered(1)))
        for track in tracks:
            for packet in track.container.demux(track):
                if packet.size and packet.pts is not None and packet.pts >= 0:
                    at_s = begin_s + float(packet.pts * packet.time_base)
                    first += [bytes(packet)] if track is tracks[0] else []
                    writing.writer.audio(AudioFrame(at_s, codec_of(track), packet))
            begin_s += 1.0
        writing.writer.close()
    return first, writing.writer


@pytest.mark.parametrize(
    ("codec", "rates", "suffix"),
    [
        ("aac", (48_000, 16_000), ".mp4"),
        ("aac", (16_000, 48_000), ".mkv"),
        ("ac3", (48_000, 32_000), ".mkv"),
    ],
)
def test_a_camera_that_returns_with_another_rate_is_no_damage(
    tmp_path: Path, codec: str, rates: tuple[int, int], suffix: str
) -> None:
    sources = [tone(tmp_path / f"{rate}.mkv", codec, rate, 1.0) for rate in rates]
    first, writer = copied(tmp_path / f"out{suffix}", [*sources, sources[0]])
    packets = audio_packets(tmp_path / f"out{suffix}")
    assert packets == first * 2
    told = r"audio: \d+ packets of another format than the first"
    assert [bool(re.fullmatch(told, lost)) for lost in writer.not_kept] == [True]


def test_packets_of_less_than_a_tick_are_all_kept(tmp_path: Path) -> None:
    """Matroska counts in 1 ms; a unit of TrueHD, as these packets, has 40 samples."""
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    first, writer = copied(target, [tone(source, "pcm_s16le", HZ, 0.5, 40)])
    assert len(first) == 600
    assert (audio_packets(target), writer.not_kept) == (first, [])


def test_copied_audio_goes_on_in_a_joined_recordings_stream_of_its_own(tmp_path: Path) -> None:
    """Of which FFmpeg knows no rate: it began after FFmpeg had looked at the file."""
    parts = [
        with_audio(tmp_path / f"{pid}.ts", "mp2", first=first, mpegts_start_pid=pid)
        for first, pid in ((0, "0x100"), (50, "0x300"))
    ]
    joined, target = tmp_path / "joined.ts", tmp_path / "out.mkv"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert rewrite(joined, target).not_kept == []
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == "mp2"
        seconds = sum(f.samples for f in container.decode(audio=0)) / HZ
    assert seconds == pytest.approx(4, abs=0.1)
