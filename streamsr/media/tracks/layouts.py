"""Audio whose channels are in an order of its own, as MOV has 7.1: PyAV would free its list twice.

It copies FFmpeg's layouts as they are, with the address of such a list in them, and frees the list
with each copy: the process is aborted, or what is in its place now is lost.
"""

import av

__all__ = ["settle_layout", "settle_layouts"]

OWN_ORDER = " channels ("  # what FFmpeg calls one begins with how many there are, and their names
_kept: list[av.AudioLayout] = []  # never freed


def settle_layouts(container: av.container.InputContainer) -> None:
    """Gives audio with channels in an order of their own the usual layout of so many.

    Call it before anything of the audio is decoded, or its layout asked for.
    """
    for stream in container.streams.audio:
        settle_layout(stream)


def settle_layout(stream: av.AudioStream) -> None:
    """As ``settle_layouts``, of one stream."""
    context = stream.codec_context
    if context is None:  # as of a codec that FFmpeg does not know
        return
    layout = context.layout
    if OWN_ORDER in layout.name:
        _kept.append(layout)
        context.layout = f"{layout.nb_channels}c"
