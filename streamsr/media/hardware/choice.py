"""Which encoder codes a stream: a hardware one whose trial encodes right, or the CPU's.

It owns what trials have found, for as long as the process runs; those that passed are also kept
with what is measured of the machine. Trials run in processes of their own: a driver may hang.
"""

import logging
import threading
from collections.abc import Sequence
from functools import cache, partial
from hashlib import sha256
from time import monotonic
from typing import Protocol

from msgspec import json

from streamsr.core.errors import OutputError
from streamsr.core.settings import EncoderSettings
from streamsr.ipc.process import RestartError, ask_child
from streamsr.media.hardware.encoders import ENCODERS, HardwareEncoder
from streamsr.media.hardware.request import CodedStream, TrialRequest
from streamsr.zoo.measured import Measured

__all__ = ["EncoderChoice", "HardwareChoice", "TrialError", "hardware_choice"]

TRIAL = "streamsr.media.hardware.trial"
TRIAL_S = 15.0  # at most: its imports may come from a slow disk
ALL_TRIALS_S = 30.0  # of what is tried for one stream: it waits for them

logger = logging.getLogger("streamsr")


class TrialError(Exception):
    """A hardware encoder does not encode right: why."""


class EncoderChoice(Protocol):
    """Says which hardware encoder codes a stream."""

    def encoder_for(self, settings: EncoderSettings, stream: CodedStream) -> HardwareEncoder | None:
        """Returns the encoder for settings that are filled; None: the CPU's.

        Raises OutputError where the one that is named cannot.
        """

    def failed(self, encoder: HardwareEncoder, reason: str) -> None:
        """Notes that it failed although its trial had passed."""


class HardwareChoice:
    """The choice by trials. Any thread may ask; one at a time tries."""

    def __init__(
        self,
        encoders: Sequence[HardwareEncoder] = ENCODERS,
        measured: Measured | None = None,
        limit_s: float = TRIAL_S,
    ) -> None:
        self._encoders = tuple(encoders)
        self._measured = measured  # None: it is read once something is tried
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._refused: dict[str, str] = {}  # why, by what was tried
        self._failed: dict[str, str] = {}  # why, by name: of what had passed

    def encoder_for(self, settings: EncoderSettings, stream: CodedStream) -> HardwareEncoder | None:
        """As the protocol says; it may wait for trials, ``ALL_TRIALS_S`` at most."""
        if settings.hardware == "off":
            return None
        if settings.hardware != "auto":
            return self._named(settings, stream)
        if not settings.low_delay:
            return None
        taken, _ = self._first(settings, stream)
        return taken

    def failed(self, encoder: HardwareEncoder, reason: str) -> None:
        """Notes a failure: "auto" takes it no more in this process."""
        self._failed[encoder.name] = reason

    def told(self, settings: EncoderSettings, stream: CodedStream, host: str) -> str:
        """Returns which encoder codes the stream, and why, for people. ``host``: the CPU's name.

        Raises OutputError as ``encoder_for`` does.
        """
        if settings.hardware == "off":
            return f'{host} on the CPU, as hardware = "off" says'
        if settings.hardware != "auto":
            return f"{self._named(settings, stream).name}, whose trial encoded right"
        if not settings.low_delay:
            return f'{host} on the CPU; a file is coded elsewhere only by hardware = "NAME"'
        taken, refused = self._first(settings, stream)
        first = f"{taken.name}, whose trial encoded right" if taken else f"{host} on the CPU"
        return "; ".join([first, *(f"{name}: {why}" for name, why in refused)])

    def _first(
        self, settings: EncoderSettings, stream: CodedStream
    ) -> tuple[HardwareEncoder | None, list[tuple[str, str]]]:
        """Returns the first that encodes right, and those before it, each with why it does not."""
        refused: list[tuple[str, str]] = []
        ends_s = monotonic() + ALL_TRIALS_S
        for encoder in self._of(settings):
            try:
                if encoder.name in self._failed:
                    raise TrialError(f"it failed: {self._failed[encoder.name]}")
                self._try(encoder, settings, stream, ends_s)
                return encoder, refused
            except TrialError as error:
                refused.append((encoder.name, str(error)))
        return None, refused

    def _named(self, settings: EncoderSettings, stream: CodedStream) -> HardwareEncoder:
        encoders = {encoder.name: encoder for encoder in self._of(settings)}
        try:
            if settings.hardware not in encoders:
                raise TrialError(f"there is none of that name for {settings.codec}")
            chosen = encoders.pop(settings.hardware)
            self._try(chosen, settings, stream, monotonic() + ALL_TRIALS_S)
            return chosen
        except TrialError as error:
            passed = self._passing([*encoders.values()], settings, stream)
            raise OutputError(
                f"encoder.hardware: got {settings.hardware}, which cannot encode "
                f"{stream.width}x{stream.height} here: {error}; allowed is "
                f"{', '.join(['auto', 'off', *passed])}"
            ) from None

    def _passing(
        self, encoders: Sequence[HardwareEncoder], settings: EncoderSettings, stream: CodedStream
    ) -> list[str]:
        """Returns the names of those that encode right."""
        ends_s, passed = monotonic() + ALL_TRIALS_S, []
        for encoder in encoders:
            try:
                self._try(encoder, settings, stream, ends_s)
            except TrialError:
                continue
            passed.append(encoder.name)
        return passed

    def _of(self, settings: EncoderSettings) -> list[HardwareEncoder]:
        return [encoder for encoder in self._encoders if encoder.codec == settings.codec]

    def _try(
        self,
        encoder: HardwareEncoder,
        settings: EncoderSettings,
        stream: CodedStream,
        ends_s: float,
    ) -> None:
        """Raises TrialError unless it encodes right. What was tried once is not tried again."""
        deep = settings.codec == "hevc" and (settings.depth or stream.depth) > 8
        why = encoder.missing() or encoder.not_held(settings, deep, stream.hdr)
        if why:
            raise TrialError(why)
        request = TrialRequest(encoder, settings.model_dump_json(exclude={"hardware"}), stream)
        asked = request.encoded()
        digits = sha256(asked.encode()).hexdigest()[:12]
        name = f"{encoder.name} {encoder.identity()} encodes {digits}, dB"
        with self._lock:
            if name in self._refused:
                raise TrialError(self._refused[name])
            limit_s = min(self._limit_s, ends_s - monotonic())
            if limit_s <= 0:
                raise TrialError("there was no time left to try it")
            self._measured = self._measured or Measured()
            try:
                psnr = self._measured.of(name, partial(_psnr_of_trial, asked, limit_s))
            except TrialError as error:
                self._refused[name] = str(error)
                raise
        logger.debug("%s encodes right, %.1f dB", encoder.name, psnr)


def _psnr_of_trial(asked: str, limit_s: float) -> float:
    """Runs a trial in a process of its own; returns its dB. Raises TrialError."""
    try:
        answer, said = ask_child(TRIAL, asked, limit_s)
    except RestartError as error:
        raise TrialError(str(error)) from None
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
    try:
        result: dict[str, float | str] = json.decode(answer)
        if "psnr" in result:
            return float(result["psnr"])
        reason = str(result["failed"])
    except (ValueError, KeyError, TypeError):
        raise TrialError(f"its process failed: {last}") from None
    raise TrialError(f"{reason} ({last})" if last else reason)


@cache
def hardware_choice() -> HardwareChoice:
    """Returns the choice of this process."""
    return HardwareChoice()
