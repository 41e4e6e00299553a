"""How a sub-stream is turned, that does not show the main stream's scene as it is."""

from collections.abc import Callable

import cv2
import numpy as np

from streamsr.train.teach.registration import found, refined
from streamsr.train.teach.thumbnails import THUMBNAIL, Images, Thumbnails

__all__ = ["turned"]

TURNS: dict[str, Callable[[Images], Images]] = {  # how it is: what undoes it
    "mirrored": np.fliplr,
    "upside down": lambda image: np.rot90(image, 2),
    "mirrored and upside down": np.flipud,
    "turned by 90 degrees to the right": np.rot90,
    "turned by 90 degrees to the left": lambda image: np.rot90(image, -1),
    "mirrored, and turned by 90 degrees to the left": np.transpose,
    "mirrored, and turned by 90 degrees to the right": lambda i: np.rot90(i, 2).transpose(),
}
LEAST = 0.6  # correlation
CLEARLY = 0.2  # more than as it is


def turned(main: Thumbnails, sub: Thumbnails) -> str | None:
    """Returns how the sub-stream is turned where what stands still in it is the main stream's;
    None: it is not, or nobody knows."""
    ours, theirs = (np.median(one.images[::8], 0).astype(np.uint8) for one in (main, sub))

    def alike(image: Images) -> float:
        pairs = [(ours, cv2.resize(np.ascontiguousarray(image), THUMBNAIL).astype(np.uint8))]
        return refined(pairs, found(pairs)).correlation

    usual = alike(theirs)
    scores = {how: alike(turn(theirs)) for how, turn in TURNS.items()}
    best = max(scores, key=lambda how: scores[how])
    return best if scores[best] >= max(LEAST, usual + CLEARLY) else None
