"""What a run makes of the inputs it was given: which files, called what. Opens none of them."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamsr.core.errors import InputError, OutputError
from streamsr.files.half_done import ENDING, is_ours
from streamsr.media.addresses import SUFFIXES, image_kind

__all__ = ["VIDEOS", "FileJob", "Plan", "holds_videos", "planned"]

ENDINGS = """
3g2 3gp asf avi divx dv f4v flv gif h264 264 h265 265 hevc m1v m2t m2ts m2v m4v mjpeg mjpg mkv mov
mp4 mpeg mpg mpv mts mxf nut ogm ogv qt rm rmvb ts vob webm wmv y4m
"""
VIDEOS = frozenset(f".{ending}" for ending in ENDINGS.split())
"""Endings of the files in a folder that are taken for video."""
MOST_NAMED = 10_000  # levels of folders that tell equal names apart


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file, or a folder of images, and what it becomes."""

    source: Path
    output: Path  # below the folder of outputs
    is_images: bool = False  # it becomes a folder of images
    in_place: bool = False  # images that appear there one by one, beside what else is there


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do, in its order."""

    jobs: Sequence[FileJob]
    left_out: Sequence[str] = field(default=())  # what is no job, and why


@dataclass(frozen=True, slots=True)
class _Found:
    source: Path
    depth: int  # of its path's last parts, how many are kept
    is_images: bool = False


def planned(
    inputs: Sequence[Path],
    folder: Path,
    suffix: str | None = None,
    known: Mapping[str, str] | None = None,
    kept: Sequence[str] = SUFFIXES,
) -> Plan:
    """Returns the plan for ``inputs``, whose outputs go below ``folder``.

    Folders are searched by name, and what is below them keeps its place. ``suffix``: of every video
    that is written; None: its own where that is ``kept``, or .mp4. ``known``: outputs that sources
    had before, by their absolute path; they keep them, and are no sources themselves. Raises
    InputError for what is not there, and OutputError where a source would be overwritten.
    """
    known = known or {}
    made = {(folder / output).absolute() for output in known.values()} - {*map(Path, known)}
    left_out: list[str] = []
    found: dict[Path, _Found] = {}
    for given in inputs:
        for one in _found(given, folder, left_out):
            found.setdefault(one.source.absolute(), one)
    for path in sorted(found.keys() & made):
        left_out.append(f"{found.pop(path).source}: it is the output of another")
    jobs = _named(list(found.values()), _Endings(suffix, kept), known)
    outputs = {(folder / job.output).absolute(): job for job in jobs}
    for job in jobs:
        if job.source.absolute() in outputs or _is_same(job.source, folder / job.output):
            raise OutputError(
                f"output {folder}: got the folder of the input {job.source}, allowed is another: "
                "it would be overwritten"
            )
    return Plan(jobs, left_out)


def holds_videos(folder: Path) -> bool:
    """Whether there is a video in a folder, or in one below it."""
    return any(not one.is_images for one in _found(folder, Path(os.devnull), []))


def _found(given: Path, folder: Path, left_out: list[str]) -> Iterator[_Found]:
    """Yields what there is to do in an input, in the order of names."""
    try:
        if not given.is_dir():
            if not given.is_file():
                raise InputError(f"input {given}: there is no such file or folder")
            yield _Found(given, 1)
            return
    except OSError as error:
        raise InputError(f"input {given}: cannot be opened: {error.strerror}") from None

    def refuse(error: OSError) -> None:
        left_out.append(f"{error.filename}: cannot be read: {error.strerror}")

    for root, folders, names in os.walk(given, onerror=refuse):
        here = Path(root)
        folders[:] = [
            name for name in sorted(folders) if _is_searched(here / name, folder, left_out)
        ]
        yield from _found_in(here, sorted(names), len(here.relative_to(given).parts), left_out)


def _found_in(
    here: Path, names: Sequence[str], depth: int, left_out: list[str]
) -> Iterator[_Found]:
    """Yields what there is to do in one folder, ``depth`` below the one that was given."""
    videos, images = [], []
    for path in (here / name for name in names):
        if path.name.startswith("."):
            left_out.append(f"{path}: hidden")
        elif path.suffix.lower() in VIDEOS:
            videos.append(path)
        elif image_kind(path) is not None:
            images.append(path)
        else:
            left_out.append(f"{path}: neither a video nor an image by its name")
    yield from (_Found(path, depth + 1) for path in videos)
    if images and not videos:
        yield _Found(here, max(1, depth), is_images=True)
    elif images:
        left_out += [f"{path}: an image beside videos" for path in images]


def _is_searched(path: Path, outputs: Path, left_out: list[str]) -> bool:
    if _is_same(path, outputs) or (path.name.endswith(ENDING) and _is_half_done(path)):
        return False
    if path.name.startswith("."):
        left_out.append(f"{path}: hidden")
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Endings:
    """Which ending videos get."""

    asked: str | None
    kept: Sequence[str]

    def of(self, one: _Found) -> str:
        own = one.source.suffix.lower()
        return self.asked or (own if own in self.kept else SUFFIXES[0])


def _named(found: Sequence[_Found], endings: _Endings, known: Mapping[str, str]) -> list[FileJob]:
    """Gives each its output, no two of them one: equal names are told apart by their own ending,
    then by the folders that they are in."""
    outputs: dict[int, Path] = {}
    taken: set[str] = set()
    for number, one in enumerate(found):
        before = known.get(str(one.source.absolute()))
        if before is not None and _suits(before, one, endings) and before.casefold() not in taken:
            outputs[number] = Path(before)
            taken.add(before.casefold())
    depths = {number: one.depth for number, one in enumerate(found) if number not in outputs}
    whole: set[int] = set()  # those that keep their own ending before the new one
    for _ in range(MOST_NAMED):
        names = {n: _output(found[n], depths[n], endings, n in whole) for n in depths}
        groups: dict[str, list[int]] = defaultdict(list)
        for number, name in names.items():
            groups[str(name).casefold()].append(number)
        crowded = [n for key, ns in groups.items() if len(ns) > 1 or key in taken for n in ns]
        if not crowded:
            break
        fresh = {n for n in crowded if n not in whole and _is_renamed(found[n], endings)}
        if fresh:
            whole |= fresh
            continue
        for number in crowded:
            depths[number] += 1
    outputs |= names
    return [FileJob(one.source, outputs[n], one.is_images) for n, one in enumerate(found)]


def _suits(before: str, one: _Found, endings: _Endings) -> bool:
    return one.is_images or Path(before).suffix == endings.of(one)


def _is_renamed(one: _Found, endings: _Endings) -> bool:
    return not one.is_images and one.source.suffix != endings.of(one)


def _output(one: _Found, depth: int, endings: _Endings, whole: bool) -> Path:
    parts = one.source.absolute().parts[1:]
    path = Path(*parts[-min(depth, len(parts)) :])
    if one.is_images:
        return path
    end = endings.of(one)
    return path.with_name(path.name + end) if whole else path.with_suffix(end)


def _is_half_done(path: Path) -> bool:
    try:
        return is_ours(path)
    except OSError:
        return False


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.exists() and other.exists() and one.samefile(other)
    except OSError:
        return False
