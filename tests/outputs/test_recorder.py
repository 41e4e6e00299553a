"""Recordings: files split, audio kept, old ones removed, a disk that is full, kills."""

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from peers import FPS, ROUND, coded_frames, packets, seen
from peers.outputs import joined, quick, record, recorded, sent, studio_outputs
from peers.waiting import until
from soak import counts, figure

from streamsr.core.deadline import Deadline
from streamsr.core.events import Code
from streamsr.core.packet import Packet, Track
from streamsr.core.status import OutputState
from streamsr.ipc.messages import OutputFormat, StartRecorder
from streamsr.media.recordings import name_of
from streamsr.outputs.recorder import Recorder

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
WITH_AUDIO, WITHOUT_AUDIO = OutputFormat(Fraction(FPS), True), OutputFormat(Fraction(FPS), False)


class Recording:
    """A recorder on a clock and a disk of its own."""

    def __init__(
        self,
        folder: Path,
        segment_s: float = 1.0,
        keep_s: float | None = None,
        min_free_bytes: int = 0,
    ) -> None:
        self.now = NOON
        self.clock_s = 0.0
        self.free = 10**12
        self.told: list[Code] = []
        self._stream = packets()
        self.recorder = Recorder(
            StartRecorder("cam", folder, segment_s, keep_s, min_free_bytes),
            lambda code, message: self.told.append(code),
            free_bytes=lambda folder: self.free,
            now=lambda: self.now,
            monotonic_s=lambda: self.clock_s,
        )

    def go_on(self, frames: int, *, audio: bool = True) -> None:
        """Write so many frames and their audio."""
        for packet in self.take(frames):
            if audio or packet.track != Track.AAC:
                self.recorder.write(packet, WITH_AUDIO if audio else WITHOUT_AUDIO)
                self.recorder.check()

    def take(self, frames: int) -> Iterator[Packet]:
        for packet in self._stream:
            frames -= packet.track != Track.AAC
            yield packet
            if frames == 0:
                return

    def check(self) -> None:
        """Let it look after age and room, as time goes by."""
        self.go_by(10.0)
        self.recorder.check()

    def go_by(self, seconds: float) -> None:
        self.clock_s += seconds
        self.now += timedelta(seconds=seconds)


def test_every_frame_and_every_audio_is_in_one_file(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.go_on(3 * FPS + 10)
    recording.recorder.close()
    recording.recorder.close()  # again: nothing
    files = recorded(tmp_path)
    assert [len(file.numbers) for file in files] == [FPS, FPS, FPS, 10]
    assert joined(files).numbers == list(range(3 * FPS + 10))
    given = sum(p.track == Track.AAC for p in recording_of(3 * FPS + 10))
    silent = 3  # beside the last frame, whose audio has not come
    assert sum(file.samples for file in files) == (given + silent) * 1024
    assert all(file.times[0] == 0 for file in files)
    assert all(file.offset_s() < 0.05 for file in files)


def recording_of(frames: int) -> list[Packet]:
    stream = packets()
    found: list[Packet] = []
    while sum(p.track != Track.AAC for p in found) < frames:
        found.append(next(stream))
    return found


def test_names_are_never_given_twice(tmp_path: Path) -> None:
    (tmp_path / name_of("cam", NOON)).write_bytes(b"precious")
    recording = Recording(tmp_path)
    recording.go_on(2 * FPS)
    recording.recorder.close()
    assert sorted(os.listdir(tmp_path)) == [
        name_of("cam", NOON, 2),
        name_of("cam", NOON, 3),
        name_of("cam", NOON),
    ]
    assert (tmp_path / name_of("cam", NOON)).read_bytes() == b"precious"


def moved(packet: Packet, seconds: float, arrived: float) -> Packet:
    return replace(
        packet, pts=packet.pts + round(seconds / packet.time_base), arrived=arrived + seconds
    )


@pytest.mark.parametrize(("off_s", "files"), [(300.0, 1), (601.0, 2)])
def test_a_camera_that_was_off_leaves_a_gap_or_for_long_another_file(
    tmp_path: Path, off_s: float, files: int
) -> None:
    recording = Recording(tmp_path, segment_s=86_400)
    coming = list(recording.take(FPS))
    recording.clock_s = 1000.2
    for packet in coming:
        recording.recorder.write(moved(packet, 0.0, 1000.0), WITH_AUDIO)
    recording.go_by(1 + off_s)
    for packet in coming:
        recording.recorder.write(moved(packet, 1 + off_s, 1000.0), WITH_AUDIO)
    recording.recorder.close()
    found = recorded(tmp_path)
    assert len(found) == files
    assert found[-1].times[-1] == pytest.approx(1.96 + off_s if files == 1 else 0.96, abs=0.001)
    lengths = 2 + off_s if files == 1 else 2
    assert sum(file.samples for file in found) / 48_000 == pytest.approx(lengths, abs=0.1)


def test_a_file_states_when_its_first_frame_came_in(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.clock_s = 1002.7
    for packet in recording.take(FPS):
        recording.recorder.write(moved(packet, 0.0, 1000.0), WITH_AUDIO)
    recording.recorder.close()
    (name,) = os.listdir(tmp_path)
    assert name == name_of("cam", NOON - timedelta(seconds=3)), "2.7 s before, to the second"
    with av.open(str(tmp_path / name)) as container:
        assert container.metadata["creation_time"] == "2026-11-24T11:59:57.000000Z"
    ended = NOON - timedelta(seconds=1.7)
    assert (tmp_path / name).stat().st_mtime == pytest.approx(ended.timestamp(), abs=0.01)


@pytest.mark.parametrize(("late_s", "told"), [(1.5, []), (3.0, [Code.AUDIO_DROPPED])])
def test_late_audio_is_in_its_file_or_said_to_be_left_out(
    tmp_path: Path, late_s: float, told: list[Code]
) -> None:
    recording = Recording(tmp_path, segment_s=3.0)
    coming = list(recording.take(8 * FPS))
    coming.sort(key=lambda p: p.pts * p.time_base + Fraction(late_s) * (p.track == Track.AAC))
    for packet in coming:
        recording.recorder.write(packet, WITH_AUDIO)
    recording.recorder.close()
    assert recording.told[:1] == told
    files = recorded(tmp_path)
    assert [round(file.samples / 48_000, 1) for file in files] == [3.0, 3.0, 2.0]
    if not told:
        assert all(file.offset_s() < 0.05 for file in files[:2])


def test_old_files_go_and_others_stay(tmp_path: Path) -> None:
    old = [name_of("cam", NOON - timedelta(days=days)) for days in (3, 2, 0.5)]
    others = [name_of("other", NOON - timedelta(days=9)), "cam-notes.mp4"]
    for name in old + others:
        (tmp_path / name).touch()
    recording = Recording(tmp_path, keep_s=86_400)
    recording.go_on(FPS // 2)
    assert set(old) < set(os.listdir(tmp_path)), "the clock is not known to be right"
    recording.go_by(3600.0)
    recording.go_on(1)
    recording.recorder.close()
    left = set(os.listdir(tmp_path))
    assert left == {old[2], *others, name_of("cam", NOON)}


@pytest.mark.parametrize("days", [1, -1, 365])
def test_a_clock_that_jumps_costs_no_recording(tmp_path: Path, days: int) -> None:
    kept = [name_of("cam", NOON - timedelta(hours=hours)) for hours in range(1, 20)]
    for name in kept:
        (tmp_path / name).touch()
    recording = Recording(tmp_path, 600, keep_s=86_400, min_free_bytes=10**9)
    recording.go_by(3600.0)
    recording.go_on(1)
    recording.now += timedelta(days=days)
    for _ in range(300):
        recording.check()
    assert set(kept) <= set(os.listdir(tmp_path))
    recording.now -= timedelta(days=days)  # somebody saw it
    for _ in range(400):
        recording.check()
    assert set(kept) <= set(os.listdir(tmp_path))


def test_room_is_made_while_the_clock_is_not_trusted(tmp_path: Path) -> None:
    for hours in range(1, 20):
        (tmp_path / name_of("cam", NOON - timedelta(hours=hours))).touch()
    recording = Recording(tmp_path, 600, keep_s=86_400, min_free_bytes=10**9)
    recording.now += timedelta(days=1)
    recording.free = 5
    recording.check()
    assert os.listdir(tmp_path) == []


def test_a_clock_that_stays_ahead_is_believed_and_costs_a_few_files_at_a_time(
    tmp_path: Path,
) -> None:
    for hours in range(1, 20):
        (tmp_path / name_of("cam", NOON - timedelta(hours=hours))).touch()
    recording = Recording(tmp_path, 600, keep_s=86_400)
    recording.now += timedelta(days=2)
    recording.check()
    recording.go_by(3600.0)
    left = []
    for _ in range(7):
        recording.check()
        left.append(len(os.listdir(tmp_path)))
    assert left == [16, 13, 10, 7, 4, 1, 0]


def test_the_oldest_make_room(tmp_path: Path) -> None:
    recording = Recording(tmp_path, min_free_bytes=10**9)
    for _ in range(4):
        recording.go_on(FPS)
        recording.now += timedelta(seconds=1)
    names = [name_of("cam", NOON + timedelta(seconds=n)) for n in range(4)]
    assert sorted(os.listdir(tmp_path)) == names
    recording.free = 10**9 - 4096  # less than a file's room is missing
    recording.check()
    assert sorted(os.listdir(tmp_path)) == names[1:]


def test_without_room_it_waits_and_then_goes_on(tmp_path: Path) -> None:
    recording = Recording(tmp_path, min_free_bytes=10**9)
    recording.go_on(FPS + 5)
    recording.free = 5
    recording.check()
    assert recording.told == [Code.REC_FULL]
    assert recording.recorder.state is OutputState.DOWN
    left = os.listdir(tmp_path)
    recording.go_on(2 * FPS)
    assert os.listdir(tmp_path) == left
    assert left == [name_of("cam", NOON, 2)], "what was written last is kept"
    recording.free = 2 * 10**9
    recording.check()
    assert recording.told == [Code.REC_FULL, Code.OUT_UP]
    recording.go_on(2 * FPS)
    recording.recorder.close()
    files = recorded(tmp_path)
    assert all(file.unbroken for file in files)
    assert files[-1].numbers[-1] == 5 * FPS + 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 10 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_fills_up_stops_it_until_there_is_room(small_disk: Path) -> None:
    recording = Recording(small_disk, 600)
    recording.free = 10**12  # only writing tells that the disk is full
    recording.go_on(70)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    while recording.recorder.state is not OutputState.DOWN:
        recording.go_on(1)
    assert recording.told == [Code.REC_FULL]
    recording.free = 0
    recording.check()
    assert recording.recorder.state is OutputState.DOWN
    ballast.unlink()
    recording.free = 10**9
    recording.check()
    assert recording.told == [Code.REC_FULL, Code.OUT_UP]
    recording.go_on(70)
    recording.recorder.close()
    files = recorded(small_disk)
    assert len(files) == 2
    assert all(file.unbroken for file in files)
    assert len(files[0].numbers) >= 2 * FPS


def test_what_a_killed_recorder_left_is_made_whole(tmp_path: Path) -> None:
    earlier = Recording(tmp_path, 600)
    earlier.go_on(4 * FPS)
    (path,) = tmp_path.iterdir()
    fragments = path.read_bytes()  # as a kill leaves it
    earlier.recorder.close()
    for rest in (3, 100, 20_000):
        path.write_bytes(fragments[:-rest])
        later = Recording(tmp_path, 600)
        later.go_on(1)
        later.recorder.close()
        numbers = seen(path).numbers
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= 3 * FPS
        (tmp_path / name_of("cam", NOON, 2)).unlink()
    path.write_bytes(fragments)
    later = Recording(tmp_path, 600)
    later.go_on(1)
    later.recorder.close()
    assert path.read_bytes() == fragments


def test_a_folder_that_vanishes_is_an_error(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        recording.go_on(1)


def test_silence_in_between_delays_no_frame(tmp_path: Path) -> None:
    """Audio was announced and does not come: what is on the disk is at most a GOP behind."""
    recording = Recording(tmp_path, 600)
    for packet in recording.take(3 * FPS + 1):
        if packet.track != Track.AAC:
            recording.recorder.write(packet, WITH_AUDIO)
    (path,) = tmp_path.iterdir()
    found = seen(path)
    assert len(found.numbers) >= 2 * FPS
    recording.recorder.close()


def test_a_file_has_its_name_only_once_it_plays(tmp_path: Path) -> None:
    killed = Recording(tmp_path, 600)
    killed.go_on(3)
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    other = tmp_path / ".other-20261124T120000Z.mp4.partial"
    other.touch()
    later = Recording(tmp_path, 600)
    later.go_on(12)
    (path,) = tmp_path.glob("*.mp4")
    written = seen(path).numbers
    assert written == list(range(len(written)))
    assert len(written) >= 6, "while it is being written"
    assert other.exists(), "it is another stream's"
    other.unlink()
    later.recorder.close()
    assert list(tmp_path.iterdir()) == [path], "what was never shown is gone"
    assert seen(path).numbers == list(range(12))


async def test_a_recording_is_split_and_loses_nothing(tmp_path: Path) -> None:
    async with studio_outputs() as outputs:
        output = outputs.start(record(tmp_path, segment_s=1))
        await until(lambda: output.state is OutputState.UP)
        outputs.studio.speed = 3
        await sent(outputs.studio, 5 * FPS)
        count = outputs.studio.sent
        await output.stop(Deadline.after())
    files = recorded(tmp_path)
    assert len(files) >= 5
    whole = joined(files)
    assert whole.unbroken
    assert whole.numbers[0] == 0
    assert len(whole.numbers) >= count, "what was queued is written before the end"
    for file in files[:-1]:
        assert len(file.numbers) == FPS
        assert file.offset_s() < 0.1
    # every piece of audio is in one of them, too
    assert sum(f.samples for f in files) / 48_000 == pytest.approx(
        len(whole.numbers) / FPS, abs=0.1
    )


async def test_a_change_of_size_or_audio_begins_a_new_file(tmp_path: Path) -> None:
    coded_frames(192, 108)  # encoded before, not on the way
    async with studio_outputs(audio=False) as outputs:
        output = outputs.start(record(tmp_path))
        await until(lambda: output.state is OutputState.UP)
        outputs.studio.audio, outputs.studio.speed = True, 3
        await sent(outputs.studio, FPS + 5)
        outputs.studio.size = (192, 108)
        await sent(outputs.studio, 2 * FPS)
    files = recorded(tmp_path)
    assert joined(files).unbroken
    assert [bool(f.samples) for f in files] == [False, True, True]
    assert [f.sizes for f in files] == [{(320, 180)}, {(320, 180)}, {(192, 108)}]
    assert output.restarts == 0


@counts(3, 200, hours=2)
async def test_a_killed_recorder_leaves_files_that_play(tmp_path: Path, count: int) -> None:
    async with studio_outputs() as outputs:
        outputs.studio.speed = 2 if count < 10 else 1
        output = outputs.start(record(tmp_path), **quick())
        for kills in range(count):
            await until(lambda n=kills: len(os.listdir(tmp_path)) == n + 1)
            await sent(outputs.studio, FPS + random.randrange(FPS))
            assert output.pid is not None
            os.kill(output.pid, signal.SIGKILL)
        await until(lambda: len(os.listdir(tmp_path)) == count + 1)
        await until(lambda: output.state is OutputState.UP)
    files = recorded(tmp_path)
    assert all(file.unbroken for file in files)
    lost = sorted((b.numbers[0] - a.numbers[-1]) % ROUND - 1 for a, b in pairwise(files))
    # up to a GOP to the kill, and up to another until the next file can begin, where another
    # process can be started within the three seconds that are queued
    assert lost[len(lost) * 9 // 10] <= 2 * FPS + 1
    assert output.restarts == count
    assert outputs.codes().count(Code.OUT_DOWN) == count
    play = f"{len(files)} files of {len(files)} play"
    median_s, most_s = lost[len(lost) // 2] / FPS, lost[-1] / FPS
    figure("kills of a recorder", f"{count}: {play}, {median_s:.1f} s lost, {most_s:.1f} at most")
