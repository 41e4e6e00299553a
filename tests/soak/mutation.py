"""Mutations of files: single bytes, whole boxes and chunks, sizes, time stamps, ends cut off."""

import random
import re
import shutil
from pathlib import Path

__all__ = ["mutate"]

TIMED = re.compile(
    rb"stts|ctts|elst|tfdt|tfhd|trun|mvhd|mdhd|tkhd|stsc|stsz|stco|\xe7|\x2a\xd7\xb1"
)
"""What is followed by times or sizes: boxes of MP4, Timecode and TimecodeScale of Matroska."""
BOXES = re.compile(rb"[a-z]{4}")
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)
LONGEST = 400  # bytes of a chunk


def mutate(original: Path, target: Path, seed: str) -> None:
    """Writes a mutation of a file, or of a folder's one image, that ``seed`` determines."""
    chance = random.Random(seed)
    if original.is_dir():
        shutil.copytree(original, target)
        target = chance.choice(sorted(target.iterdir()))
        original = target
    data = bytearray(original.read_bytes())
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice((_bytes, _bytes, _box, _chunk, _stamps, _stamps, _end))(data, chance)
    target.write_bytes(data)


def _bytes(data: bytearray, chance: random.Random) -> None:
    """Changes single bytes; half the time in the first kilobyte, where headers are."""
    last = len(data) if chance.random() < 0.5 else min(len(data), 1024)
    for _ in range(chance.choice((1, 3, 10, max(1, len(data) // 100)))):
        if last:
            data[chance.randrange(last)] = chance.choice((*EXTREMES, chance.randrange(256)))


def _box(data: bytearray, chance: random.Random) -> None:
    """Changes the size, or the name, of what looks like a box of MP4 or a chunk of AVI."""
    places = [match.start() for match in BOXES.finditer(data) if match.start() >= 4]
    if places:
        place = chance.choice(places)
        start = chance.choice((place - 4, place, place + 4))
        data[start : start + 4] = _word(chance)


def _chunk(data: bytearray, chance: random.Random) -> None:
    """Removes, repeats, clears or moves a piece."""
    start = chance.randrange(max(1, len(data)))
    piece = bytes(data[start : start + chance.randrange(1, LONGEST)])
    place = chance.randrange(max(1, len(data)))
    match chance.randrange(4):
        case 0:
            del data[start : start + len(piece)]
        case 1:
            data[start:start] = piece
        case 2:
            data[start : start + len(piece)] = bytes(len(piece))
        case _:
            data[place:place] = piece


def _stamps(data: bytearray, chance: random.Random) -> None:
    """Changes times: those of boxes and clusters, and of packets of a transport stream."""
    if data[:1] == b"\x47":
        starts = [n for n in range(0, len(data) - 188, 188) if data[n + 1] & 0x40]
        for start in chance.sample(starts, min(len(starts), chance.choice((1, 3, 9)))):
            place = data.find(b"\x00\x00\x01", start, start + 170)
            if place >= 0:  # of PES: 9 bytes on are 5 of a PTS
                data[place + 10 : place + 14] = _word(chance)
        return
    places = [match.end() for match in TIMED.finditer(data)]
    for place in chance.sample(places, min(len(places), chance.choice((1, 2, 5)))):
        start = place + chance.choice((0, 4, 8, 12, 16, 20))
        if start + 4 <= len(data):
            data[start : start + 4] = _word(chance)


def _end(data: bytearray, chance: random.Random) -> None:
    """Cuts the end off."""
    del data[chance.randrange(len(data) + 1) :]


def _word(chance: random.Random) -> bytes:
    """Four bytes: of a random number, an extreme one, or a small one."""
    extreme = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 1000))
    number = chance.choice((chance.getrandbits(32), extreme, chance.randrange(200)))
    return number.to_bytes(4, "big")
