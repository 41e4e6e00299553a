"""A half-done file on disk: its packets so far and where it goes on, whenever the program ended.

It is a folder beside the file that it becomes, ``NAME.partial``: nobody takes it for one. Packets
are appended to ``video.packets``; each whole segment is a line in ``commits.jsonl``, written after
its packets and after what the next one depends on. What follows the last line is cut off before the
file goes on: a kill at any moment costs a segment.
"""

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as format_safetensors

from streamsr.core.errors import OutputError
from streamsr.core.files import write_whole
from streamsr.core.packet import Packet, Track
from streamsr.files.checkpoint import Checkpoint, End, Opening
from streamsr.files.half_done import (
    FIRST,
    check_ours,
    empty_ours,
    open_alone,
    remove_ours,
)
from streamsr.files.identity import differences
from streamsr.files.passage import Mark, Passage
from streamsr.networks.contract import Memory
from streamsr.pipeline.keyframe_flicker import FlickerState

__all__ = ["IMAGES", "Partial"]

JOB, COMMITS, VIDEO, IMAGES = "job.json", "commits.jsonl", FIRST, "images"
RECORD = struct.Struct("<qqqIB")  # of a packet: pts, dts, duration, bytes, whether it is a keyframe
SYNC_S = 1.0  # between two writes to the disk itself: a kill needs none, a power failure does
MISSING = (OSError, ValueError, TypeError, LookupError, SafetensorError)


class Partial:
    """One such folder, made where it is missing.

    What was half done as another ``identity`` says is thrown away: ``restarted`` says why. Raises
    OutputError where it cannot be read or written, as every method does, or is somebody else's, or
    another program has it open.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.images = folder / IMAGES  # where images go that are done
        self.restarted = ""  # why what was there is begun again; "" where it is not
        self.opening: Opening | None = None
        self.checkpoint = Checkpoint()
        self.end: End | None = None  # every frame is done
        self._identity = json.loads(json.dumps(identity))
        self._kept: list[str] = []  # names of memory files
        self._bytes = 0  # of packets that are committed
        self._crc = 0  # of what is not committed
        self._synced_s = 0.0  # monotonic
        self._video: BinaryIO = io.BytesIO()  # until there is a file
        try:
            check_ours(folder)
            self._video = open_alone(folder / VIDEO)  # first of all: it is known by it
            self._load()
            self._video.seek(0, os.SEEK_END)
            self.images.mkdir(exist_ok=True)
            self._commits = (folder / COMMITS).open("ab")
        except OSError as error:
            self._video.close()
            raise self._error(error) from None

    @property
    def frames(self) -> int:
        """How many frames of the file are done."""
        return self.checkpoint.frames

    def begin(self, opening: Opening) -> None:
        """States how all of the file is encoded, before its first packet."""
        self.opening = opening
        try:
            said = {"identity": self._identity, "opening": opening.to_json()}
            write_whole(self.folder / JOB, json.dumps(said).encode())
        except OSError as error:
            raise self._error(error) from None

    def append(self, packet: Packet) -> None:
        """Takes the next packet of the video, in the order of decoding."""
        pts, dts = packet.pts, packet.pts if packet.dts is None else packet.dts
        head = RECORD.pack(pts, dts, packet.duration, len(packet.data), packet.keyframe)
        self._crc = zlib.crc32(packet.data, zlib.crc32(head, self._crc))
        try:
            self._video.write(head)
            self._video.write(packet.data)
        except OSError as error:
            raise self._error(error) from None

    def commit(self, checkpoint: Checkpoint, end: End | None = None) -> None:
        """States that every packet so far belongs to frames before ``checkpoint``."""
        number = checkpoint.frames
        flicker = checkpoint.flicker
        line: dict[str, Any] = {
            "frames": number,
            "again": checkpoint.again,
            "warm_up": checkpoint.warm_up,
            "time_s": checkpoint.time_s,
            "plain": checkpoint.plain,
            "marks": [[mark.pts, mark.checksum] for mark in checkpoint.passage.marks],
            "base": str(checkpoint.passage.base),
            "place": checkpoint.passage.place,
            "left": flicker.left,
            "usual": flicker.usual,
            "memory": [len(memory) for memory in checkpoint.memory],
            "end": None if end is None else asdict(end),
        }
        try:
            name = self._keep_tensors(checkpoint)
            self._video.flush()
            end_at = self._video.tell()
            line |= {"tensors": name, "from": self._bytes, "bytes": end_at, "crc": self._crc}
            now_s = monotonic()
            if now_s - self._synced_s >= SYNC_S or end is not None:
                os.fsync(self._video.fileno())
            self._commits.write(json.dumps(line).encode() + b"\n")
            self._commits.flush()
            if now_s - self._synced_s >= SYNC_S or end is not None:
                os.fsync(self._commits.fileno())
                self._synced_s = now_s
                self._forget(keep=1)
            self._forget(keep=2)
        except OSError as error:
            raise self._error(error) from None
        self.checkpoint, self.end = checkpoint, end
        self._bytes, self._crc = end_at, 0

    def packets(self, codec: str) -> Iterator[Packet]:
        """Yields every packet that is committed, their decoding times strictly rising."""
        assert self.opening is not None  # it was begun
        base, last, read = self.opening.time_base, None, 0
        with (self.folder / VIDEO).open("rb") as file:
            while read < self._bytes:
                head = file.read(RECORD.size)
                pts, dts, duration, size, keyframe = RECORD.unpack(head)
                dts = dts if last is None else min(pts, max(dts, last + 1))
                last, read = dts, read + RECORD.size + size
                data = file.read(size)
                yield Packet(
                    *(Track.OUTPUT, data, pts, base, bool(keyframe)),
                    dts=dts,
                    codec=codec,
                    duration=duration,
                )

    def close(self) -> None:
        """Closes its files; what is not committed is lost."""
        for file in (self._video, self._commits):
            with suppress(OSError):
                file.close()

    def remove(self) -> None:
        """Removes the folder: what it was is done, or begun again."""
        self.close()
        try:
            remove_ours(self.folder)
        except OSError as error:
            raise self._error(error) from None

    def _load(self) -> None:
        """Takes up what is there, or throws it away."""
        try:
            said = json.loads((self.folder / JOB).read_bytes())
            changed = differences(said["identity"], self._identity)
            opening = Opening.from_json(said["opening"])
        except MISSING:
            changed, opening = "", None  # it was killed before its first frame
        if opening is None or changed:
            self.restarted = changed
            empty_ours(self.folder)
            self._video.truncate(0)
            return
        self.opening = opening
        lines = (self.folder / COMMITS).read_bytes().split(b"\n")[:-1] if self._has_commits else []
        while lines and not self._takes_up(lines[-1]):
            lines.pop()
        with (self.folder / COMMITS).open("ab") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
        self._video.truncate(self._bytes)

    @property
    def _has_commits(self) -> bool:
        return (self.folder / COMMITS).exists()

    def _takes_up(self, line: bytes) -> bool:
        """Goes on from a commit; returns False where it, or what it names, is not whole."""
        try:
            said = json.loads(line)
            with (self.folder / VIDEO).open("rb") as file:
                file.seek(said["from"])
                data = file.read(said["bytes"] - said["from"])
            if len(data) != said["bytes"] - said["from"] or zlib.crc32(data) != said["crc"]:
                return False
            held, memory = self._tensors(said["tensors"], said["memory"])
            self.checkpoint = Checkpoint(
                said["frames"],
                said["again"],
                said["warm_up"],
                FlickerState(held, said["left"], said["usual"]),
                memory,
                said["time_s"],
                said["plain"],
                Passage(
                    tuple(Mark(*mark) for mark in said["marks"]),
                    Fraction(said["base"]),
                    said["place"],
                ),
            )
            end = said["end"]
            self.end = end and End(**{**end, "damage": tuple(end["damage"])})
            self._bytes = said["bytes"]
            self._kept = [said["tensors"]] if said["tensors"] else []
        except MISSING:
            return False
        return True

    def _keep_tensors(self, checkpoint: Checkpoint) -> str | None:
        """Writes what is no number of a checkpoint; returns the file's name, None for nothing."""
        memories = list(enumerate(checkpoint.memory))
        tensors = {f"{of} {n}": t for of, memory in memories for n, t in enumerate(memory)}
        if checkpoint.flicker.held is not None:
            tensors["held"] = torch.from_numpy(np.ascontiguousarray(checkpoint.flicker.held))
        if not tensors:
            return None
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        name = f"memory-{checkpoint.frames}.safetensors"
        write_whole(self.folder / name, format_safetensors(whole), synced=False)
        self._kept.append(name)
        return name

    def _tensors(
        self, name: str | None, counts: Sequence[int]
    ) -> tuple[NDArray[np.float32] | None, tuple[Memory, ...]]:
        """Reads what ``_keep_tensors`` wrote: what the flicker filter holds, and memories."""
        if name is None:
            return None, ()
        tensors = parse_safetensors((self.folder / name).read_bytes())
        held = tensors["held"].numpy() if "held" in tensors else None
        memories = enumerate(counts)
        return held, tuple(tuple(tensors[f"{of} {n}"] for n in range(k)) for of, k in memories)

    def _forget(self, keep: int) -> None:
        """Removes memory files but for the newest ones."""
        while len(self._kept) > keep:
            (self.folder / self._kept.pop(0)).unlink(missing_ok=True)

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"output {self.folder}: cannot be written: {error.strerror or error}")
