"""Which model a stream runs, and to which size: by its source, by what is asked for, and by what
this machine holds. Pure but for the trials of its machine and the models' cards.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from streamsr.core.settings import Quality, StreamSettings
from streamsr.core.target_size import TargetSize
from streamsr.engine.cpu.recurrent import MAX_PARTS
from streamsr.media.addresses import is_folder_output
from streamsr.media.source import SourceInfo
from streamsr.zoo.card import AUTO
from streamsr.zoo.registry import Entry, lighter_of, members

__all__ = [
    "FOR_BEST",
    "FOR_CLEAN",
    "FOR_CODED",
    "PLAIN",
    "Candidate",
    "Resources",
    "Selection",
    "Selector",
    "cost_ms",
    "family_for",
]

RESERVE = 0.25  # of the cores is left over where streamsr chooses
LEAST_RESERVE = 0.1  # likewise, for a network where none would hold otherwise
LARGEST_SCALE, MOST_LINES = 4, 1440  # of a result whose size nobody names
FOR_CODED, FOR_CLEAN, PLAIN = "fast-camera", "fast", "bicubic"
FOR_BEST = "live"  # of clean files, where their time does not matter
LOSSLESS = frozenset(
    ("png", "tiff", "ffv1", "huffyuv", "ffvhuff", "utvideo", "magicyuv", "rawvideo")
)
CLEAN_BITS = 2.0  # a pixel: what is coded so richly shows nothing of its coding


class Resources(Protocol):
    """What a machine has for streams, and what they cost on it."""

    @property
    def cores(self) -> int: ...

    @property
    def streams(self) -> int: ...

    @property
    def threads(self) -> int:
        """How many frames networks compute at once: 1 on a GPU."""

    @property
    def on_gpu(self) -> bool: ...

    def network_ms(self, entry: Entry, width: int, height: int) -> float: ...

    def path_ms(self, width: int, height: int) -> float: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model and a result that a stream could have, and what a frame of it costs."""

    entry: Entry
    target: TargetSize
    size: tuple[int, int]
    network_ms: float  # of a core, or of the GPU
    cpu_ms: float  # of a core, the network with it where it runs on the CPU

    def __str__(self) -> str:
        return f"{self.entry.name} to {self.size[0]}x{self.size[1]}"


@dataclass(frozen=True, slots=True)
class Selection:
    """What a stream runs."""

    entries: tuple[Entry, ...]  # the wanted one, then those to fall back on, the cheapest last
    target: TargetSize
    cpu_ms: float | None  # of a core a frame; None of a filter
    why: str


def family_for(info: SourceInfo, url: str) -> str:
    """Returns the family that suits what a source is coded like."""
    bits = _bits_a_pixel(info, url)
    clean = info.codec in LOSSLESS or (bits is not None and bits >= CLEAN_BITS)
    return FOR_CLEAN if clean else FOR_CODED


class Selector:
    """Selects for one stream. ``real_time``: its frames cannot wait."""

    def __init__(self, settings: StreamSettings, machine: Resources, *, real_time: bool) -> None:
        self._model = settings.model
        self._reserve = RESERVE if settings.model.name == AUTO else 0.0
        self._url = settings.input.url
        self._machine = machine
        self._real_time = real_time
        output = settings.output
        frames_only = output.path is not None and is_folder_output(output.path)
        self._even = real_time or not frames_only
        self._asked = TargetSize.parse(output.size, output.scale, even=self._even)

    def select(self, info: SourceInfo, kept: TargetSize | None = None) -> Selection:
        """Returns what to run for a source, its results in the size ``kept`` where that is given.

        Raises ModelError, and ConfigError for a size that cannot be.
        """
        auto = self._model.name == AUTO
        name = family_for(info, self._url) if auto else self._model.name
        found = members(name, self._model.folders)
        asked = kept or self._asked
        if auto and name == FOR_CLEAN and self._model.quality is Quality.BEST:
            found = {**found, **members(FOR_BEST, self._model.folders)}
        if not self._real_time:
            return self._for_file(found, info, asked)
        candidates: list[Candidate] = []
        for candidate in self._candidates(found, info, asked, lighter=auto):
            candidates.append(candidate)
            if self._holds(candidate, info):
                return self._selection(candidate, info, self._reason(candidates, info))
        cheapest = min(candidates, key=lambda candidate: self._share(candidate, info))
        why = f"{self._states(cheapest, info)}: too much"
        if not auto:
            return self._selection(cheapest, info, why)
        if self._share(cheapest, info) * (1 - self._reserve) <= 1 - LEAST_RESERVE:
            why = f"{self._states(cheapest, info)}: little more, and no network takes less"
            return self._selection(cheapest, info, why)
        plain = members(PLAIN, self._model.folders)
        filtered = list(self._candidates(plain, info, asked, lighter=False))
        held = next((one for one in filtered if self._holds(one, info)), filtered[-1])
        return self._selection(held, info, f"no network holds: {why}")

    def _for_file(
        self, found: Mapping[int, Entry], info: SourceInfo, asked: TargetSize | None
    ) -> Selection:
        target = asked or self._up_to_limit(found, info)
        entry = _member_for(found, _ratio(target, info))
        why = "a file can wait: the model that is asked for runs"
        if self._model.name == AUTO:
            why = f"a file can wait: {entry.family} suits {_coded_as(info, self._url)}"
        most = min(LARGEST_SCALE, max(found))
        if asked is None and most > 1:
            why += f"; no size is asked for: {most} times, up to {MOST_LINES} lines"
        return self._selection(self._candidate(entry, target, info), info, why)

    def _up_to_limit(self, found: Mapping[int, Entry], info: SourceInfo) -> TargetSize:
        """The largest result of a file whose size nobody names."""
        most = min(LARGEST_SCALE, max(found))
        by = max(Fraction(1), min(Fraction(most), Fraction(MOST_LINES, info.height)))
        return TargetSize(scale=by, even=self._even)

    def _candidates(
        self,
        found: Mapping[int, Entry],
        info: SourceInfo,
        asked: TargetSize | None,
        *,
        lighter: bool,
    ) -> Iterator[Candidate]:
        """What could run, the best first: of each result the better model first."""
        for target in [asked] if asked else self._targets(found, info):
            reaching = _member_for(found, _ratio(target, info))
            scales = [reaching.facts.scale]
            if asked is not None:
                scales += [scale for scale in sorted(found, reverse=True) if scale < scales[0]]
            for scale in scales:
                entry = _member_for(found, Fraction(scale))
                for one in self._chain(entry) if lighter else [entry]:
                    yield self._candidate(one, target, info)

    def _targets(self, found: Mapping[int, Entry], info: SourceInfo) -> list[TargetSize]:
        """The results that nobody asks for, the largest first."""
        any_scale = range(1, LARGEST_SCALE + 1)
        scales = any_scale if any(e.card.serves_every_scale for e in found.values()) else found
        usual = [s for s in scales if s <= LARGEST_SCALE and s * info.height <= MOST_LINES]
        return [
            TargetSize(scale=Fraction(scale), even=self._even)
            for scale in sorted(usual or [min(scales)], reverse=True)
        ]

    def _chain(self, entry: Entry) -> list[Entry]:
        """A model and the lighter ones that its card leads to, of the same scale."""
        chain = [entry]
        while (lighter := lighter_of(chain[-1], self._model.folders)) is not None:
            if lighter in chain:
                break
            chain.append(lighter)
        return chain

    def _candidate(self, entry: Entry, target: TargetSize, info: SourceInfo) -> Candidate:
        size = target.of(info.width, info.height)
        if not self._real_time:
            return Candidate(entry, target, size, 0.0, 0.0)
        return Candidate(entry, target, size, *cost_ms(self._machine, entry, info, size))

    def _limits(self, candidate: Candidate, info: SourceInfo) -> list[tuple[float, float, str]]:
        """What a frame takes, what it may take here, and of what, in ms."""
        machine = self._machine
        frame_ms = 1e3 / max(float(info.rate), 1.0) * (1 - self._reserve) / machine.streams
        threads = float(machine.threads)
        if candidate.entry.card.network == "recurrent":  # its steps follow one another, in parts
            threads = min(threads, MAX_PARTS * machine.streams)
        device = "ms of the GPU" if machine.on_gpu else "ms of its threads"
        return [
            (candidate.cpu_ms, frame_ms * machine.cores, "CPU ms"),
            (candidate.network_ms, frame_ms * threads, device),
        ]

    def _tightest(self, candidate: Candidate, info: SourceInfo) -> tuple[float, float, str]:
        return max(self._limits(candidate, info), key=lambda limit: limit[0] / limit[1])

    def _share(self, candidate: Candidate, info: SourceInfo) -> float:
        """What a frame takes of what it may take; above 1 is too much."""
        takes, may_take, _ = self._tightest(candidate, info)
        return takes / may_take

    def _holds(self, candidate: Candidate, info: SourceInfo) -> bool:
        return self._share(candidate, info) <= 1

    def _selection(self, candidate: Candidate, info: SourceInfo, why: str) -> Selection:
        entries = [candidate.entry]
        if self._real_time and self._model.fallback:
            entries += self._chain(candidate.entry)[1:]
            scale = candidate.entry.facts.scale
            entries += [_served(name, self._model.folders, scale) for name in self._model.fallback]
        distinct = {entry.folder: entry for entry in entries}
        target, remark = candidate.target, candidate.target.remark(info.width, info.height)
        why = f"{why}; {remark}" if remark else why
        return Selection(tuple(distinct.values()), target, candidate.cpu_ms or None, why)

    def _reason(self, candidates: Sequence[Candidate], info: SourceInfo) -> str:
        """Why the last of ``candidates`` runs, and not the one before it."""
        *better, held = candidates
        tail = ""
        if better:
            takes, _, of = self._tightest(better[-1], info)
            tail = f"; {better[-1]} would take {takes:.0f} {of}"
        return self._states(held, info) + tail

    def _states(self, candidate: Candidate, info: SourceInfo) -> str:
        takes, may_take, of = self._tightest(candidate, info)
        reserve = ", a quarter in reserve" if self._reserve else ""
        return (
            f"{candidate} takes {takes:.0f} of the {may_take:.0f} {of} that a frame may take here"
            f" ({float(info.rate):g} fps on {self._machine.cores} cores{reserve})"
        )


def cost_ms(
    machine: Resources, entry: Entry, info: SourceInfo, size: tuple[int, int]
) -> tuple[float, float]:
    """Returns what a frame's network takes, of a core or of the GPU, and what the frame takes of
    the cores, for results of ``size``."""
    plain = entry.card.is_filter
    network_ms = 0.0 if plain else machine.network_ms(entry, info.width, info.height)
    return network_ms, machine.path_ms(*size) + network_ms * (not machine.on_gpu)


def _member_for(found: Mapping[int, Entry], ratio: Fraction) -> Entry:
    """The smallest member that reaches ``ratio``; the largest, where none does."""
    reaching = [scale for scale in sorted(found) if scale >= ratio]
    return found[reaching[0] if reaching else max(found)]


def _ratio(target: TargetSize, info: SourceInfo) -> Fraction:
    """How many times a frame is enlarged, rounding to whole sides aside."""
    width, height = target.of(info.width, info.height)
    exact = min(Fraction(width, info.width), Fraction(height, info.height))
    return Fraction(round(exact)) if abs(exact - round(exact)) * info.height < 2 else exact


def _served(name: str, folders: Sequence[Path], scale: int) -> Entry:
    found = members(name, folders)
    return _member_for(found, Fraction(scale))


def _coded_as(info: SourceInfo, url: str) -> str:
    """How a source is coded, for people: what ``family_for`` goes by."""
    bits = None if info.codec in LOSSLESS else _bits_a_pixel(info, url)
    return info.codec if bits is None else f"{info.codec} of {bits:.2g} bits a pixel"


def _bits_a_pixel(info: SourceInfo, url: str) -> float | None:
    """Of a file; None where its length is not known."""
    if not info.frames or not os.path.isfile(url):
        return None
    return os.path.getsize(url) * 8 / (info.frames * info.width * info.height)
