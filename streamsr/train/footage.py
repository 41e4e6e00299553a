"""Which clips a run trains on and which it is measured on, each as its settings say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from streamsr.core.errors import InputError
from streamsr.networks.facts import Facts
from streamsr.train.coded import Coder
from streamsr.train.data import Clip, load_clips
from streamsr.train.settings import DataSettings

__all__ = ["Footage"]


class Footage:
    """The clips of one run, decoded and coded in the cache where they are not there yet."""

    def __init__(
        self,
        settings: DataSettings,
        facts: Facts,
        seed: int,
        report: Callable[[str], None] = lambda clip: None,
    ) -> None:
        self.settings = settings
        self.facts = facts
        self._coder = Coder(
            settings.cache, facts.colour, facts.scale, seed, settings.clip_frames, report
        )

    def train(self) -> list[Clip]:
        """What crops are cut from; the stills get the share that the settings give them."""
        settings, degrade = self.settings, self.settings.degrade
        coder, folder = self._coder, settings.train
        whole = self._plain(folder) if degrade is None else coder.clips(folder, degrade)
        clips = [self._begun(clip) for clip in whole]
        if settings.stills is None:
            return clips
        stills = coder.stills(settings.stills, settings.hanging, degrade)
        share = settings.still_share / (1 - settings.still_share)
        weight = share * _roots(clips) / _roots(stills)
        return [*clips, *(replace(still, weight=weight) for still in stills)]

    def valid(self) -> list[Clip]:
        """What is scored: all of the folder, each long and large enough, and some stills."""
        settings = self.settings
        folder = settings.train if settings.valid is None else settings.valid
        coded = settings.degrade is not None
        clips = self._coder.valid_clips(folder) if coded else self._plain(folder)
        if settings.valid is None:
            clips = [clip.part(slice(self._end(clip), None)) for clip in clips]
        if coded and settings.stills is not None:
            clips += self._coder.valid_stills(settings.stills)
        side = self.facts.scale * self.facts.multiple
        for clip in clips:
            frames, _, height, width = clip.pixels.shape
            if frames < self.facts.window or min(height, width) < side:
                raise InputError(
                    f"validation clip {clip.name}: got {frames} frames of {width}x{height} pixels, "
                    f"allowed are {self.facts.window} and more of {side}x{side} and more"
                )
        return clips

    def _plain(self, folder: Path) -> list[Clip]:
        settings = self.settings
        return load_clips(folder, settings.cache, self.facts.colour, settings.clip_frames)

    def _begun(self, clip: Clip) -> Clip:
        """The clip without the end that is held out."""
        return clip.part(slice(self._end(clip))) if self.settings.held_out else clip

    def _end(self, clip: Clip) -> int:
        """The first frame that is held out."""
        return round(len(clip.pixels) * (1 - self.settings.held_out))


def _roots(clips: list[Clip]) -> float:
    return sum(float(clip.pixels.size**0.5) for clip in clips)
