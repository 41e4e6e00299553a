"""A model for the images of one stream."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from os import PathLike
from typing import Any, Never, Self, overload

import numpy as np
import torch

from streamsr.api.clip_stream import ClipStream, Ticket
from streamsr.api.clips import NO_TAG, ImageClips
from streamsr.api.files import upscale_file
from streamsr.api.images.kinds import Image, Item, Layout, Tag
from streamsr.api.images.reader import UNSPECIFIED, ImageReader, is_array, stacked
from streamsr.api.model_request import ModelRequest, Size
from streamsr.api.models import Folders, folders_of
from streamsr.api.shared import SharedEngine
from streamsr.api.upscaled import Upscaled, UpscaledAsync
from streamsr.core.errors import InputError
from streamsr.core.frame import ColourTags
from streamsr.core.status import StreamStatus
from streamsr.zoo.card import Precision
from streamsr.zoo.registry import Entry

__all__ = ["Upscaler"]


class Upscaler:
    """A loaded model for the images of one stream; what comes in comes out, larger.

    An image is an array of NumPy or a tensor of torch, on any device, of (h, w), (h, w, c) or
    (c, h, w), grey, R'G'B' or R'G'B' and alpha, in uint8, uint16, or floats in [0, 1]; 4:2:0 as
    (Y, Cb, Cr), (Y, CbCr), or in layout "nv12" or "i420"; one of Pillow's; or an av.VideoFrame.
    What comes out is of the same library, layout, dtype, device, format and time. Any thread may
    call any method.
    """

    def __init__(
        self,
        model: str | PathLike[str] = "fast",
        *,
        scale: float | None = None,
        size: Size | None = None,
        device: str | torch.device | None = None,
        folders: Folders = (),
        engine: SharedEngine | None = None,
        precision: Precision | None = None,
        layout: Layout | None = None,
        colour: ColourTags | None = None,
    ) -> None:
        """``model`` is a family, a model or its folder, or "auto": "fast" for images, for a file
        the family that suits how it is coded. ``folders`` hold more models.

        ``scale`` or ``size`` (a box to fit into as "1080p", "1280x720" or (1280, 720), or a height)
        are of the results; without them a result is as large as the model makes it. ``engine`` is
        shared with others; else the upscaler has one of its own, on ``device``. ``layout`` is that
        of one image where its shape leaves it open; ``colour`` is that of planes.

        Raises ModelError, ConfigError and UserError for what there is not.
        """
        if not isinstance(engine, SharedEngine | None):
            raise InputError(f"engine: got {engine!r}, allowed is a streamsr.Engine")
        if engine is not None and str(device) not in ("None", "auto", str(engine.device)):
            raise InputError(
                f"device: got '{device}', allowed is that of the engine, '{engine.device}'"
            )
        known = folders_of(folders) + (engine.folders if engine is not None else ())
        wanted = ModelRequest.of(model, known, size, scale)
        wanted.usual()
        self._reader = ImageReader(layout, UNSPECIFIED if colour is None else colour)
        self.engine = engine or SharedEngine(device)
        self._owns_engine = engine is None
        self._pushed: deque[Ticket] = deque()  # by ``push``, and not returned
        self._clip: ClipStream | None = None  # theirs
        self._lock = threading.RLock()
        self._in_order = ThreadPoolExecutor(1, "streamsr-pusher")  # of ``apush`` and ``aflush``
        try:
            self._clips = ImageClips(wanted, self._reader, self.engine, precision)
        except BaseException:
            if self._owns_engine:
                self.engine.close()
            raise

    def __enter__(self) -> Self:
        self._clips.check()
        return self

    async def __aenter__(self) -> Self:
        return self.__enter__()

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.entry.name

    @property
    def entry(self) -> Entry:
        """The model's name, folder and card; of a ``size``, of the newest clip's."""
        return self._clips.entry

    @property
    def device(self) -> torch.device:
        """What it runs on."""
        return self.engine.device

    @property
    def scale(self) -> float:
        """How many times as large results are; of a ``size``, what the model alone does."""
        return (
            self.entry.facts.scale if self._clips.wanted.scale is None else self._clips.wanted.scale
        )

    @property
    def lookahead(self) -> int:
        """How many images one waits for before it comes out."""
        return self.entry.facts.lookahead

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._clips.closed

    def __reduce__(self) -> Never:
        raise TypeError("an Upscaler has threads and cannot be copied: make one in each process")

    def __repr__(self) -> str:
        closed = ", closed" if self.closed else ""
        return f"<streamsr.Upscaler of {self.model!r} on {self.device}{closed}>"

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Returns width and height of what becomes of an image. Raises InputError, ConfigError."""
        return self._clips.wanted.made_of(width, height)

    @overload
    def __call__(self, images: Image) -> Image: ...
    @overload
    def __call__(self, images: list[Item]) -> list[Item]: ...
    def __call__(self, images: Any) -> Any:
        """Upscales an image or a clip, all of it: what ``upscale`` gives, or a list of a list."""
        return list(self.map(images)) if isinstance(images, list) else self._whole(images)

    @overload
    def upscale(self, images: Image) -> Image: ...
    @overload
    def upscale(self, images: Iterable[Item]) -> Upscaled[Item]: ...
    @overload
    def upscale(self, images: AsyncIterable[Item]) -> UpscaledAsync[Item]: ...
    def upscale(self, images: Any) -> Any:
        """Upscales an image, or a clip: an array of them gives an array, others an iterator.

        An array of one more axis is a clip, one of two more are clips that have nothing to do with
        each other. Raises InputError.
        """
        return self._whole(images) if is_array(images) else self.map(images)

    def upscale_image(self, image: Image) -> Image:
        """Upscales one image by itself. Raises InputError."""
        (made,) = self.map([image])
        return made

    def upscale_file(
        self,
        source: str | PathLike[str],
        target: str | PathLike[str],
        *,
        overwrite: bool = False,
        frames: int | None = None,
    ) -> StreamStatus:
        """Upscales a file or a folder of images into another, audio and all; returns what it did.

        ``frames``: at most so many. Raises InputError, OutputError, ConfigError.
        """
        return upscale_file(self._clips, source, target, overwrite, frames)

    @overload
    def map(self, images: Iterable[Item]) -> Upscaled[Item]: ...
    @overload
    def map(self, images: AsyncIterable[Item]) -> UpscaledAsync[Item]: ...
    def map(self, images: Any) -> Any:
        """Returns an iterator, for ``for`` or ``async for``, over a clip's upscaled images.

        Of ``(image, tag)`` it gives ``(image, tag)``, the tag being whatever the caller likes. All
        threads of the engine work on it; images are read as it goes, a few ahead. What goes
        wrong with an image, or in the source, is raised after what came before. To stop early
        leave the loop, or ``close()`` it.
        """
        self._reader.check_clip(images)
        clip = self._clips.new()
        if isinstance(images, AsyncIterable) and not isinstance(images, Iterable):
            return UpscaledAsync(images, clip, self._clips.begin, self._clips.most)
        return Upscaled(images, clip, self._clips.begin, self._clips.most)

    @overload
    def push(self, image: Image) -> list[Image]: ...
    @overload
    def push(self, image: Image, tag: Tag) -> list[tuple[Image, Tag]]: ...
    def push(self, image: Any, tag: Any = NO_TAG) -> Any:
        """Takes the next image of the stream; returns those that it completes, oldest first.

        One that comes with a ``tag`` is returned as (image, tag). Raises InputError.
        """
        with self._lock:
            if self._clip is None:
                self._clip = self._clips.new()
            return self._completed(*self._clips.push(self._clip, image, tag))

    def flush(self) -> list[Any]:
        """Ends the stream; returns the images still pending. The next push begins another one."""
        with self._lock:
            clip, self._clip = self._clip, None
            self._clips.check()
            return [] if clip is None else self._completed(None, clip.flush())

    def close(self) -> None:
        """Ends its clips, and the engine's threads where they are its own."""
        self._clips.close(self.engine if self._owns_engine else None)
        self._in_order.shutdown()

    @overload
    async def apush(self, image: Image) -> list[Image]: ...
    @overload
    async def apush(self, image: Image, tag: Tag) -> list[tuple[Image, Tag]]: ...
    async def apush(self, image: Any, tag: Any = NO_TAG) -> Any:
        """Does what ``push`` does, the loop running on; several are in the order of their calls."""
        return await self._after_others(partial(self.push, image, tag))

    async def aflush(self) -> list[Any]:
        """Does what ``flush`` does, after every ``apush`` before it, the loop running on."""
        return await self._after_others(self.flush)

    async def _after_others(self, work: Callable[[], list[Any]]) -> list[Any]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._in_order, work)
        except RuntimeError:
            self._clips.check()  # what it was closed for is said in its own words
            raise

    @overload
    async def aupscale(self, images: Image) -> Image: ...
    @overload
    async def aupscale(self, images: list[Item]) -> list[Item]: ...
    async def aupscale(self, images: Any) -> Any:
        """Upscales an image or a clip, all of it, the loop running on."""
        return await asyncio.to_thread(self, images)

    async def aclose(self) -> None:
        """Does what ``close`` does, the loop running on."""
        await asyncio.to_thread(self.close)

    def _whole(self, images: Any) -> Any:
        """What becomes of an image, or of an array of them, as one array."""
        before = self._reader.axes_before(images)
        if isinstance(images, tuple) and before:
            of_each = [tuple(part[n] for part in images) for n in range(len(images[0]))]
            made = [self._whole(one) for one in of_each] if before == 2 else list(self.map(of_each))
            parts = zip(zip(*made, strict=True), images, strict=True)
            return tuple(stacked(list(part), clip) for part, clip in parts)
        if before == 0:
            return self.upscale_image(images)
        if not isinstance(images, torch.Tensor):
            images = np.asarray(images)
        if not len(images):
            raise InputError(
                f"images: got shape {tuple(images.shape)}, allowed is one image or more"
            )
        if before == 2:
            return stacked([self._whole(clip) for clip in images], images)
        return stacked(list(self.map(images)), images)

    def _completed(self, ticket: Ticket | None, count: Future[int]) -> list[Any]:
        """Waits for the images that are completed."""
        if ticket is not None:
            self._pushed.append(ticket)
        try:
            return [self._pushed.popleft().result() for _ in range(count.result())]
        except BaseException:
            self._clip = None
            self._pushed.clear()
            raise
