"""The clips of one upscaler: which model they run, and what their images go through."""

import logging
import os
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from streamsr.api.clip_stream import ClipStream, Ticket
from streamsr.api.images.kinds import OpenedImage
from streamsr.api.images.planes import are_planes
from streamsr.api.images.reader import ImageReader, is_array
from streamsr.api.model_request import ModelRequest
from streamsr.api.shared import SharedEngine
from streamsr.core.errors import InputError
from streamsr.core.events import Event
from streamsr.core.metrics import Meter
from streamsr.engine.base import EngineStream, StreamRequest
from streamsr.engine.threads import one_thread_here
from streamsr.zoo.card import Precision

__all__ = ["NO_TAG", "ImageClips", "warn"]


class _NoTag:
    def __repr__(self) -> str:
        return "..."


NO_TAG = _NoTag()
TOO_LATE = "got another image, allowed is none any more"
logger = logging.getLogger("streamsr")


class ImageClips:
    """Begins clips on an engine; all of them are one stream to it. Any thread may call it."""

    def __init__(
        self,
        wanted: ModelRequest,
        reader: ImageReader,
        engine: SharedEngine,
        precision: Precision | None,
    ) -> None:
        """Raises ModelError where the model cannot be loaded."""
        self.wanted = wanted
        self.precision = precision
        self.engine = engine
        self.entry = wanted.usual()  # later: that of the newest clip
        self._reader = reader
        self._feeder = ThreadPoolExecutor(1, "streamsr-feeder", one_thread_here)
        self._meter = Meter()
        self._begun: weakref.WeakSet[ClipStream] = weakref.WeakSet()
        self._account: EngineStream | None = None  # the stream that all of them are charged to
        self._closed = False
        engine.load(self.entry, precision)

    @property
    def closed(self) -> bool:
        return self._closed or self.engine.closed

    @property
    def most(self) -> int:
        """How many images of a clip are begun and not taken, so that no thread waits for one."""
        return 2 * self.engine.workers + self.entry.facts.window + 1

    def close(self, own: SharedEngine | None) -> None:
        """Ends them, and the engine where it is their ``own``."""
        self._closed = True
        if own is not None:
            own.close()  # before the feeder is waited for, which may wait for it
        for clip in list(self._begun):
            clip.close()
        self._feeder.shutdown()

    def closed_fault(self) -> InputError:
        """Returns the error of what comes after one of both was closed, which it names."""
        closed = "the upscaler" if self._closed else "the upscaler's engine"
        return InputError(f"{closed} is closed: {TOO_LATE}")

    def check(self) -> None:
        """Raises InputError once it is closed, and in a process that was forked from its own."""
        if self.closed and self.engine.process == os.getpid():
            raise self.closed_fault()
        self.engine.check()

    def new(self) -> ClipStream:
        """Returns a clip that an image begins. Raises InputError once it is closed."""
        self.check()
        clip = ClipStream(self._begin_stream, self._feeder, self.closed_fault)
        self._begun.add(clip)
        return clip

    def begin(self, clip: ClipStream, item: Any) -> Ticket:
        """Begins an image of a clip, or (image, tag). Raises InputError."""
        is_tagged = isinstance(item, tuple) and len(item) == 2 and not are_planes(item)
        image, tag = item if is_tagged else (item, NO_TAG)
        if is_tagged and is_array(tag) and not is_array(image):
            got = type(image).__name__
            raise InputError(f"image: got a pair of {got} and an image, allowed is (image, tag)")
        return self.push(clip, image, tag)[0]

    def push(self, clip: ClipStream, image: Any, tag: Any) -> tuple[Ticket, Future[int]]:
        """Begins an image; what comes of it has the tag. Returns what ``ClipStream.push`` does."""
        self.check()
        opened = self._reader.opened(image)
        if self.engine.device.type != "cpu":
            opened = opened.in_8_bits()
        plain = tag is NO_TAG
        return clip.push(opened, lambda made: made if plain else (made, tag))

    def _begin_stream(self, first: OpenedImage) -> EngineStream:
        """The stream of a clip that begins with this image. Raises ModelError, ConfigError."""
        self.entry, target = self.wanted.member(*first.size)
        if target is not None and first.even:
            target = self.wanted.target(even=True)
        loaded = self.engine.load(self.entry, self.precision)
        request = StreamRequest("library", self._meter, warn, beside=self._account, target=target)
        stream = loaded.stream(request)
        self._account = self._account or stream
        return stream


def warn(event: Event) -> None:
    """Tells what happened to an image, by ``logging``."""
    logger.warning("%s", event.text)
