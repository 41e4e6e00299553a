"""Files as sources: time stamps, order, rotation, pixel shape, and files that are damaged."""

import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from peers import camera_clip, read_number
from peers.odd import titled, without

from streamsr.core.errors import InputError
from streamsr.core.events import Code, Event
from streamsr.core.frame import ColourTags, Frame
from streamsr.media.images import ImageWriter
from streamsr.media.source import AudioFrame, Item, SourceInfo
from streamsr.sources.files import FileSource
from streamsr.sources.folder import FolderSource
from streamsr.sources.opening import file_frames

Make = Callable[..., Path]


def described(items: list[Item]) -> SourceInfo:
    (info,) = (item for item in items if isinstance(item, SourceInfo))
    return info


def read(path: Path) -> tuple[list[Item], list[Event]]:
    events: list[Event] = []
    return list(FileSource(str(path), events.append).items(threading.Event())), events


def frames_of(items: list[Item]) -> list[Frame]:
    return [item for item in items if isinstance(item, Frame)]


def seen(frames: list[Frame]) -> list[int | None]:
    return [read_number(frame.planes[0]) for frame in frames]


def test_a_clip_is_described_and_read_whole(clip: Make) -> None:
    items, events = read(clip(seconds=2.0))
    info, frames = described(items), frames_of(items)
    assert items.index(info) < items.index(frames[0])
    assert (info.size, info.rate, info.frames) == ("320x180", 25, 50)
    assert (info.codec, info.pixel_format, info.audio_codec) == ("h264", "yuv420p", "aac")
    assert info.sample_aspect == 1
    assert seen(frames) == list(range(50))
    assert [f.time_s for f in frames] == pytest.approx([n / 25 for n in range(50)], abs=1e-3)
    audios = [item for item in items if isinstance(item, AudioFrame)]
    assert [s.time_s for s in audios] == pytest.approx(
        [n * 1024 / 48_000 for n in range(len(audios))], abs=0.025
    )
    assert events == []


def test_a_variable_rate_keeps_its_times(clip: Make) -> None:
    missing = (3, 4, 5, 11, 20, 21)
    frames = frames_of(read(clip(seconds=1.0, missing=missing))[0])
    there = [n for n in range(25) if n not in missing]
    assert seen(frames) == there
    assert [f.time_s for f in frames] == pytest.approx([n / 25 for n in there], abs=1e-3)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_frames_with_b_frames_come_in_the_order_they_are_shown(clip: Make, codec: str) -> None:
    path = clip(seconds=2.0, b_frames=3, codec=codec)
    with av.open(path) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        shown = sorted(packets, key=lambda packet: packet.pts or 0)
        assert shown != packets  # there are B-frames
    frames = frames_of(read(path)[0])
    assert [frame.packet_bytes for frame in frames] == [packet.size for packet in shown]
    assert [frame.keyframe for frame in frames] == [packet.is_keyframe for packet in shown]
    assert seen(frames) == list(range(50))
    assert [f.time_s for f in frames] == pytest.approx([n / 25 for n in range(50)], abs=1e-3)


def test_avi_which_has_decoding_times_alone_keeps_its_pace(tmp_path: Path) -> None:
    """FFmpeg takes them for presentation times until it has seen frames reordered."""
    path = camera_clip(tmp_path / "b.avi", seconds=2.0, b_frames=3, audio=False)
    frames = frames_of(read(path)[0])
    assert seen(frames) == list(range(50))
    times = [frame.time_s for frame in frames]
    assert times == pytest.approx([n / 25 for n in range(50)], abs=2e-3)
    assert all(0.01 < b - a < 0.13 for a, b in pairwise(times))
    assert times[-1] - times[0] == pytest.approx(1.96, abs=0.05)


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "flv", "avi"])
@pytest.mark.parametrize("rate", [Fraction(1, 60), Fraction(1, 20), Fraction(1, 3), Fraction(2)])
def test_slides_with_b_frames_keep_their_times(
    tmp_path: Path, container: str, rate: Fraction
) -> None:
    """Their presentation is minutes from their decoding, and their audio far from them."""
    path = tmp_path / f"slides.{container}"
    camera_clip(path, seconds=float(9 / rate), rate=rate, b_frames=3, audio=rate > Fraction(1, 20))
    items, events = read(path)
    frames = frames_of(items)
    assert seen(frames) == list(range(9))
    times = [frame.time_s - frames[0].time_s for frame in frames]
    assert times == pytest.approx([float(n / rate) for n in range(9)], abs=2e-3)
    assert events == []
    if heard := [item.time_s for item in items if isinstance(item, AudioFrame)]:
        assert all(0.015 < b - a < 0.03 for a, b in pairwise(heard))
        assert heard[-1] - heard[0] == pytest.approx(float(9 / rate), abs=0.1)


def test_a_track_that_is_written_late_belongs_where_its_stamps_say(tmp_path: Path) -> None:
    """As muxers do that have nothing to write of one for long."""
    path = tmp_path / "late.mkv"
    clip = camera_clip(tmp_path / "slides.mp4", seconds=60, rate=Fraction(1, 20))
    with av.open(clip) as source, av.open(path, "w") as out:
        copies = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        packets = [p for p in source.demux() if p.dts is not None]
        for packet in sorted(packets, key=lambda p: p.stream.type):  # the audio first
            packet.stream = copies[packet.stream.index]
            out.mux_one(packet)
    items, events = read(path)
    frames = frames_of(items)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 20, 40], abs=0.05)
    assert events == []


def test_a_frame_of_avi_lasts_a_frame_and_no_field(tmp_path: Path) -> None:
    """FFmpeg gives H.264 in AVI half of it where the stamps count fields: MP4 is uneven then."""
    clip = camera_clip(tmp_path / "b.ts", seconds=1, b_frames=3, audio=False)
    path = tmp_path / "fields.avi"
    with av.open(clip) as source, av.open(path, "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0], opaque=True)
        copy.time_base = Fraction(1, 50)
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts = (
                    round(t * packet.time_base * 50) for t in (packet.pts, packet.dts)
                )
                packet.time_base, packet.stream = Fraction(1, 50), copy
                out.mux(packet)
    frames = frames_of(read(path)[0])
    assert {float(f.duration * f.time_base) for f in frames} == {0.04}
    times = [f.time_s - frames[0].time_s for f in frames]
    assert times == pytest.approx([n / 25 for n in range(25)], abs=2e-3)


def test_time_counts_from_the_start_of_the_file(tmp_path: Path, clip: Make) -> None:
    """As recordings cut out of a broadcast do not start at 0."""
    path = tmp_path / "late.ts"
    with av.open(clip(seconds=1.0)) as source, av.open(path, "w") as target:
        copies = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.pts += round(5 / packet.time_base)
                packet.dts += round(5 / packet.time_base)
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    with av.open(path) as container:
        assert container.start_time > 4 * av.time_base
    items, _ = read(path)
    frames = frames_of(items)
    assert seen(frames) == list(range(25))
    audio = next(item.time_s for item in items if isinstance(item, AudioFrame))
    assert frames[0].time_s - audio == pytest.approx(0.0, abs=0.03)
    assert min(frames[0].time_s, audio) == pytest.approx(0.0, abs=0.001)


@pytest.mark.parametrize(("degrees", "size"), [(90, "180x320"), (-90, "180x320"), (180, "320x180")])
def test_frames_are_turned_upright(tmp_path: Path, clip: Make, degrees: int, size: str) -> None:
    """Phones write what their sensor sees, and how to turn it."""
    upright = frames_of(read(clip(seconds=0.2))[0])
    path = tmp_path / "turned.mp4"
    with av.open(path, "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.set_display_rotation(degrees)
        turned = [tuple(np.rot90(p, -degrees // 90) for p in f.planes) for f in upright]
        video.height, video.width = turned[0][0].shape
        video.pix_fmt, video.options = "yuv420p", {"crf": "4"}
        for n, planes in enumerate(turned):
            image = av.VideoFrame(video.width, video.height, "yuv420p")
            for plane, samples in zip(image.planes, planes, strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                rows[: len(samples), : samples.shape[1]] = samples
            image.pts = n
            out.mux(video.encode(image))
        out.mux(video.encode(None))
    items, _ = read(path)
    assert described(items).size == "320x180"
    assert f"{turned[0][0].shape[1]}x{turned[0][0].shape[0]}" == size
    assert seen(frames_of(items)) == list(range(5))
    for ours, wanted in zip(frames_of(items)[0].planes, upright[0].planes, strict=True):
        assert np.abs(ours.astype(int) - wanted).mean() < 2


def test_pixels_that_are_not_square_are_described(clip: Make) -> None:
    info = described(read(clip(seconds=0.2, aspect=Fraction(16, 11)))[0])
    assert info.sample_aspect == Fraction(16, 11)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 6])
def test_colour_is_taken_from_the_file(clip: Make, matrix: int, full: bool) -> None:
    tags = ColourTags(matrix, matrix, matrix, full)
    assert frames_of(read(clip(seconds=0.2, colour=tags))[0])[0].colour == tags


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    whole = camera_clip(tmp_path / "whole.mkv", seconds=2.0, gop=10)
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames = frames_of(read(path)[0])
    assert 10 <= len(frames) < 50
    assert seen(frames) == list(range(len(frames)))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """50 frames, a keyframe at each tenth, the data of frame 13 spoilt."""
    whole = camera_clip(tmp_path / "whole.mp4", seconds=2.0, gop=10, audio=False)
    data = bytearray(whole.read_bytes())
    with av.open(whole) as container:
        hit = [p for p in container.demux(video=0) if p.size][13]
    data[hit.pos : hit.pos + hit.size] = bytes([255]) * hit.size
    path = tmp_path / "hit.mp4"
    path.write_bytes(data)
    return path


def test_damage_inside_is_told_and_survived(damaged: Path) -> None:
    items, events = read(damaged)
    frames = frames_of(items)
    assert len(frames) >= 40
    numbers = seen(frames)
    assert numbers[:13] == list(range(13))
    assert numbers[-20:] == list(range(30, 50))  # a keyframe heals it
    assert {e.code for e in events} == {Code.SRC_DAMAGED}
    assert "1 damaged packets left out" in events[0].message
    assert all(a.pts < b.pts for a, b in pairwise(frames))


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100], ids=["empty", "text"])
def test_what_is_no_video_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"film\.mp4: cannot be opened: "):
        read(path)


def test_an_mp4_without_its_index_is_an_input_error(tmp_path: Path, clip: Make) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip(seconds=2.0).read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cut\.mp4: cannot be opened"):
        read(path)


def test_audio_alone_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "song.wav"
    with av.open(path, "w") as out:
        audio = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        samples.sample_rate = 8000
        out.mux(audio.encode(samples))
    with pytest.raises(InputError, match="there is no video in it"):
        read(path)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read(tmp_path / "nowhere.mp4")


def test_an_error_names_no_password() -> None:
    source = FileSource("http://user:hunter22@127.0.0.1:9/film.mp4", lambda event: None)
    assert "hunter22" not in source.name
    with pytest.raises(InputError) as caught:
        list(source.items(threading.Event()))
    assert "hunter22" not in str(caught.value)


def test_reading_stops_when_it_is_asked_to(clip: Make) -> None:
    stop = threading.Event()
    items = FileSource(str(clip(seconds=2.0)), lambda event: None).items(stop)
    while not isinstance(next(items), Frame):
        pass
    stop.set()
    assert len(frames_of(list(items))) <= 3  # of a packet that was decoded already


def test_file_frames_refuses_damage(damaged: Path, clip: Make) -> None:
    """Ground truth is whole or not used."""
    assert sum(1 for _ in file_frames(clip(seconds=0.2))) == 5
    with pytest.raises(InputError, match=r"hit\.mp4: 1 damaged packets"):
        list(file_frames(damaged))


def test_a_folder_is_described_and_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3), np.uint8)
    writer = ImageWriter(tmp_path / "frames")
    for n, image in enumerate(rgb_frames(pixels)):
        writer.write(image, f"f{n + 8}.png")
    source = FolderSource(tmp_path / "frames", Fraction(30_000, 1001), emit=print)
    info, *frames = source.items(threading.Event())
    assert isinstance(info, SourceInfo)
    assert (info.size, info.rate, info.frames) == ("30x20", Fraction(30_000, 1001), 4)
    assert info.names == ("f8.png", "f9.png", "f10.png", "f11.png")
    for n, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.planes[0], pixels[n])
        assert frame.time_s == pytest.approx(n * 1001 / 30_000)


def rgb_frames(pixels: np.ndarray) -> list[Frame]:
    tags = ColourTags(0, 1, 13, True)
    return [Frame((image,), tags, n, Fraction(1, 25)) for n, image in enumerate(pixels)]


def shifted(
    source: Path, target: Path, by_s: Callable[[float], float], audio: bool, **options: str
) -> Path:
    """Copies a clip, each packet later by what ``by_s`` returns for its time."""
    with av.open(source) as container, av.open(target, "w", options=options) as out:
        streams = [s for s in container.streams if audio or s.type == "video"]
        copies = {s.index: out.add_stream_from_template(s, opaque=True) for s in streams}
        for packet in container.demux(streams):
            if packet.dts is not None and packet.pts is not None:
                later = round(by_s(float(packet.dts * packet.time_base)) / packet.time_base)
                packet.pts, packet.dts = packet.pts + later, packet.dts + later
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return target


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize(
    ("first_s", "second_s"), [(10, 10), (10, 3 * 3600), (10, 8 * 3600), (200, 100), (30_000, 10)]
)
def test_joined_recordings_go_on_where_the_first_ended(
    clip: Make, tmp_path: Path, first_s: int, second_s: int, audio: bool
) -> None:
    joined = tmp_path / "joined.ts"
    data = b""
    for number, start_s in ((0, first_s), (50, second_s)):
        part = clip(first=number, seconds=2)
        copy = shifted(part, tmp_path / "part.ts", lambda _, s=start_s: s, audio)  # type: ignore[misc]
        data += copy.read_bytes()
    joined.write_bytes(data)
    items, events = read(joined)
    frames = frames_of(items)
    assert seen(frames) == list(range(100))
    times = [frame.time_s - frames[0].time_s for frame in frames]
    assert times == pytest.approx([n / 25 for n in range(100)], abs=0.06)
    assert all(0.02 < b - a < 0.1 for a, b in pairwise(times))
    assert [n for n, frame in enumerate(frames) if frame.discontinuous] == [50]
    assert [event.code for event in events] == [Code.SRC_TIME]
    assert "what follows is joined there" in events[0].message
    heard = [item.time_s for item in items if isinstance(item, AudioFrame)]
    if audio:
        half = len(heard) // 2
        apart = [heard[0] - times[0], heard[half] - times[50]]
        assert apart[1] == pytest.approx(apart[0], abs=0.02)
        assert all(0 < b - a < 0.05 for a, b in pairwise(heard))


@pytest.mark.parametrize("audio", [(True, True), (False, False), (False, True)])
@pytest.mark.parametrize("seconds", [2, 12])
def test_joined_recordings_may_have_streams_of_their_own(
    clip: Make, tmp_path: Path, seconds: int, audio: tuple[bool, bool]
) -> None:
    """Of another recorder, whose transport stream has other PIDs."""
    joined, count = tmp_path / "joined.ts", seconds * 25
    data = b""
    for number, (heard, pid) in enumerate(zip(audio, ("0x100", "0x300"), strict=True)):
        part = clip(first=number * count, seconds=seconds)
        target = tmp_path / "part.ts"
        data += shifted(part, target, lambda _: 10, heard, mpegts_start_pid=pid).read_bytes()
    joined.write_bytes(data)
    items, _ = read(joined)
    frames = frames_of(items)
    info = described(items)
    assert info.carried is not None
    if audio != (False, True) or seconds == 2:
        assert seen(frames) == list(range(2 * count))
        assert info.carried.left_out == []
    else:  # what FFmpeg gives at the end of the file alone is too late
        assert len(frames) >= 2 * count - 2
        assert [told.split(" ", 1)[1] for told in info.carried.left_out] == [
            "packets at the end of joined recordings"
        ]
    assert frames[-1].time_s - frames[0].time_s == pytest.approx(2 * seconds - 0.04, abs=0.09)
    pieces = [item for item in items if isinstance(item, AudioFrame) and item.heard]
    if any(audio):
        assert len({piece.track for piece in pieces}) == 1
        assert pieces[-1].time_s == pytest.approx(frames[-1].time_s, abs=0.2)
        assert pieces[0].time_s == pytest.approx(0 if audio[0] else seconds, abs=0.1)


def test_a_recording_in_the_middle_is_there(tmp_path: Path) -> None:
    """It has PIDs that neither the beginning nor the end names, which FFmpeg looks at."""
    joined = tmp_path / "joined.ts"
    parts = [
        noise(tmp_path / "part.ts", frames, pid)
        for frames, pid in ((75, "0x100"), (30, "0x500"), (130, "0x300"))
    ]
    joined.write_bytes(b"".join(parts))
    items, _ = read(joined)
    carried = described(items).carried
    assert carried is not None
    assert len(frames_of(items)) == 235
    assert carried.left_out == []


def noise(path: Path, frames: int, pid: str) -> bytes:
    """The bytes of a transport stream that takes 140 kB a frame, which nothing is probed beyond."""
    random = np.random.default_rng(1)
    with av.open(path, "w", options={"mpegts_start_pid": pid}) as out:
        options = {"qp": "0", "preset": "ultrafast"}
        video = out.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        heard = out.add_stream("mp2", rate=48_000, layout="mono")
        for number in range(frames):
            silence = np.zeros((1, 1920), np.int16)
            samples = av.AudioFrame.from_ndarray(silence, "s16", "mono")
            samples.sample_rate, samples.pts = 48_000, number * 1920
            out.mux(heard.encode(samples))
            image = av.VideoFrame.from_ndarray(
                random.integers(0, 255, (270, 320), dtype=np.uint8), "yuv420p"
            )
            image.pts = number
            out.mux(video.encode(image))
        out.mux([*video.encode(None), *heard.encode(None)])
    return path.read_bytes()


def test_a_video_that_begins_beside_another_stays_left_out(clip: Make, tmp_path: Path) -> None:
    both = tmp_path / "both.ts"
    with av.open(clip(seconds=4)) as source, av.open(both, "w") as out:
        video = source.streams.video[0]
        copies = [out.add_stream_from_template(video, opaque=True) for _ in range(2)]
        for packet in source.demux(video):
            for copy in (
                copies if packet.size and packet.pts * packet.time_base >= 1 else copies[:1]
            ):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
    items, _ = read(both)
    carried = described(items).carried
    assert carried is not None
    assert seen(frames_of(items)) == list(range(100))
    assert carried.left_out == ["video 1 (h264)"]


def test_fragmented_recordings_that_are_joined_lose_no_frame(clip: Make, tmp_path: Path) -> None:
    """FFmpeg holds the second against the first one's edit list, and has a GOP left out."""
    data, flags = b"", "frag_keyframe+empty_moov+default_base_moof"
    for number in (0, 50):
        part = tmp_path / "part.mp4"
        with (
            av.open(clip(first=number, seconds=2)) as source,
            av.open(part, "w", options={"movflags": flags}) as out,
        ):
            copies = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    out.mux(packet)
        data += part.read_bytes()
    joined = tmp_path / "joined.mp4"
    joined.write_bytes(data)
    items, events = read(joined)
    frames = frames_of(items)
    assert seen(frames) == list(range(100))
    assert all(0.02 < b.time_s - a.time_s < 0.1 for a, b in pairwise(frames))
    assert [event.code for event in events] == [Code.SRC_TIME]


@pytest.mark.parametrize(("gap_s", "left_s"), [(900, 900), (13 * 3600, 0)])
def test_a_gap_inside_a_file_is_kept_where_it_can_be_meant(
    clip: Make, tmp_path: Path, gap_s: int, left_s: int
) -> None:
    """As a recorder leaves that waits for motion."""
    path = shifted(
        clip(seconds=2), tmp_path / "gap.mkv", lambda s: gap_s if s >= 0.99 else 0, audio=True
    )
    items, events = read(path)
    frames = frames_of(items)
    assert seen(frames) == list(range(50))
    assert frames[-1].time_s == pytest.approx(1.96 + left_s, abs=0.1)
    assert [event.code for event in events] == [Code.SRC_TIME]
    joined = FileSource(str(path), events.append, max_gap_s=60)
    assert frames_of(list(joined.items(threading.Event())))[-1].time_s < 2.1
    assert joined.jumps == 1


def test_a_title_in_another_alphabet_is_no_fault(tmp_path: Path) -> None:
    items, events = read(titled(tmp_path / "titled.mkv"))
    assert seen(frames_of(items)) == list(range(25))
    assert described(items).audio_codec == "aac"
    assert events == []


def test_audio_without_a_decoder_is_left_out(tmp_path: Path) -> None:
    items, events = read(without("audio", tmp_path / "mute.mkv"))
    info = described(items)
    assert (info.audio, info.audio_codec) == (None, "")
    assert seen(frames_of(items)) == list(range(25))
    assert events == []


def test_video_without_a_decoder_is_an_input_error(tmp_path: Path) -> None:
    path = without("video", tmp_path / "dark.mkv")
    with pytest.raises(InputError, match=r"dark\.mkv: there is no decoder for its video, stream 0"):
        read(path)


@pytest.mark.parametrize("by_s", [3599.0, 60.0, 5.0])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_a_stamp_that_stands_alone_freezes_nothing(
    clip: Make, tmp_path: Path, ending: str, b_frames: int, by_s: float
) -> None:
    """As damage makes it: containers take one presentation time for what it says."""
    whole, torn = clip(seconds=2, b_frames=b_frames), tmp_path / f"torn{ending}"
    with av.open(whole) as source, av.open(torn, "w") as out:
        copies = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        packets = [p for p in source.demux() if p.dts is not None and p.pts is not None]
        false = [p for p in packets if p.stream.type == "video"][30]
        false.pts += round(by_s / false.time_base)
        for packet in packets:
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    items, events = read(torn)
    frames = frames_of(items)
    times = [frame.time_s - frames[0].time_s for frame in frames]
    assert seen(frames) == list(range(50))
    assert times == pytest.approx([n / 25 for n in range(50)], abs=0.002)
    assert [event.code for event in events] == [Code.SRC_TIME]
    assert "stand alone" in events[0].message


def test_repeated_stamps_are_said_once_and_counted(clip: Make, tmp_path: Path) -> None:
    torn = tmp_path / "torn.ts"
    repeats = {9, 19, 29}  # muxers part equal stamps by a tick
    shifted(clip(seconds=2), torn, lambda at: -0.0399 * (round(at * 25) in repeats), False)
    events: list[Event] = []
    source = FileSource(str(torn), events.append)
    frames = frames_of(list(source.items(threading.Event())))
    times = [frame.time_s for frame in frames]
    assert min(b - a for a, b in pairwise(times)) >= 0.0199
    assert [event.code for event in events] == [Code.SRC_TIME]
    assert source.moved == 3
