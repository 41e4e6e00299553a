"""The engine that a program shares among its upscalers."""

from os import PathLike

from streamsr.api.images.kinds import Layout
from streamsr.api.model_request import Size
from streamsr.api.models import Folders
from streamsr.api.shared import SharedEngine
from streamsr.api.upscaler import Upscaler
from streamsr.core.frame import ColourTags
from streamsr.zoo.card import Precision

__all__ = ["Engine"]


class Engine(SharedEngine):
    """The threads of one device and the models that are loaded there, for any number of streams."""

    def stream(
        self,
        model: str | PathLike[str] = "fast",
        *,
        scale: float | None = None,
        size: Size | None = None,
        folders: Folders = (),
        precision: Precision | None = None,
        layout: Layout | None = None,
        colour: ColourTags | None = None,
    ) -> Upscaler:
        """Returns an ``Upscaler`` of this engine; the arguments are those of its constructor."""
        return Upscaler(
            model,
            scale=scale,
            size=size,
            folders=folders,
            engine=self,
            precision=precision,
            layout=layout,
            colour=colour,
        )
