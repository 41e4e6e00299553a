"""Which frames of a stream form each window: the positions in one ring buffer, and no pixels.

Owns the order in which windows become ready, the mirrored borders and the flush. It never sees
a tensor: it names ring positions, and the caller holds the ring.
"""

__all__ = ["Window", "mirrored_indices"]


def mirrored_indices(centre: int, size: int, count: int, lookahead: int) -> tuple[int, ...]:
    """Returns the frames of the window of ``centre`` in a clip of ``count`` frames.

    Frames missing at the ends are mirrored around the centre, as the evaluation of EDVR does
    (``reflection_circle``): with ``size`` 5 the first window is (4, 3, 0, 1, 2) and the last
    (n-3, n-2, n-1, n-4, n-5). A clip shorter than the window repeats its border frames instead, and
    so does a window without lookahead, whose first frames have nothing to mirror.
    """
    reach = size - 1 - lookahead
    last = count - 1
    window = []
    for place in range(centre - reach, centre + lookahead + 1):
        if place < 0:
            index = centre + lookahead - place if lookahead else 0
        elif place > last:
            index = centre - reach - (place - last)
        else:
            index = place
        window.append(min(max(index, 0), last))
    return tuple(window)


class Window:
    """A stream's ring of the last ``size`` frames, the reference in its centre or its last one.

    The first centred window needs every position of the ring (its past is mirrored out of its
    future), so nothing is ready before ``size`` frames are there; then ``lookahead + 1`` windows
    are at once, and one per frame from there on. Without ``lookahead`` each frame has its window
    at once.
    """

    def __init__(self, size: int, lookahead: int | None = None) -> None:
        lookahead = size // 2 if lookahead is None else lookahead
        if size < 1:
            raise ValueError(f"window size: got {size}, allowed is 1 or more")
        if lookahead and size != 2 * lookahead + 1:
            raise ValueError(
                f"lookahead of a window of {size} frames: got {lookahead}, allowed is 0, and half "
                "of an odd number of frames"
            )
        self.size = size
        self.lookahead = lookahead
        self._pushed = 0  # frames since the last reset
        self._finished = 0  # windows given out since the last reset

    def push(self) -> tuple[int, list[tuple[int, ...]]]:
        """Takes one frame: returns the ring position to write it to and the windows it fills."""
        position = self._pushed % self.size
        self._pushed += 1
        if self.lookahead and self._pushed < self.size:
            return position, []
        return position, self._windows_until(self._pushed - self.lookahead)

    @property
    def newest(self) -> int:
        """The ring position of the frame that was pushed last."""
        return (self._pushed - 1) % self.size

    def ahead(self, *, at_once: bool = True) -> list[tuple[int, int]]:
        """Returns which frames windows still to come will align, that can be since the last push.

        Each is a ring position and that of the window's reference; one of them is the newest
        frame's. A stream that ends needs them too. Without ``at_once`` those of a stream's first
        windows are left out, which all come at once.
        """
        newest = self._pushed - 1
        pairs = []
        first = self._finished if at_once else max(self._finished, self.lookahead)
        for centre in range(first, self._pushed):
            window = mirrored_indices(centre, self.size, self._pushed + self.size, self.lookahead)
            pairs += [
                (frame, centre)
                for frame in window
                if frame == newest or (centre == newest and frame < newest)
            ]
        return [(frame % self.size, centre % self.size) for frame, centre in pairs]

    def flush(self) -> list[tuple[int, ...]]:
        """Ends the stream: returns the windows of the frames still pending, and resets."""
        windows = self._windows_until(self._pushed)
        self.reset()
        return windows

    def reset(self) -> None:
        """Forgets every frame: the next one has nothing to do with those before it."""
        self._pushed = self._finished = 0

    def _windows_until(self, end: int) -> list[tuple[int, ...]]:
        centres = range(self._finished, end)
        self._finished = end
        windows = (
            mirrored_indices(centre, self.size, self._pushed, self.lookahead) for centre in centres
        )
        return [tuple(index % self.size for index in window) for window in windows]
