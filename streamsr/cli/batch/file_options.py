"""The options of ``upscale``, here and by a fleet, and of ``probe``, which says what it would do:
declared once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

from streamsr.cli.options import (
    Audio,
    Bitrate,
    Codec,
    Compare,
    Container,
    Crf,
    Denoise,
    Device,
    Frames,
    Json,
    Model,
    ModelPrecision,
    Models,
    Preset,
    QualityOption,
    Scale,
    Seconds,
    Set,
    Size,
    Video,
)
from streamsr.cli.settings import (
    audio_choice,
    denoise_share,
    encoder_settings,
    parsed,
    stream_settings,
)
from streamsr.core.settings import PipelineSettings, Quality
from streamsr.media.addresses import SUFFIXES
from streamsr.zoo.card import AUTO

__all__ = ["FileOptions", "ResultOptions", "with_options"]

PLACE = "options"  # the parameter of a command in whose place they come


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions:
    """What the command line says of a source and of what becomes of it, each field an option."""

    model: Model = AUTO
    quality: QualityOption = Quality.AUTO
    models: Models = None
    device: Device = "auto"
    precision: ModelPrecision = None
    size: Size = None
    scale: Scale = None
    codec: Codec = None
    crf: Crf = None
    preset: Preset = None
    bitrate: Bitrate = None
    video: Video = None
    audio: Audio = "all"
    denoise: Denoise = None
    compare: Compare = None
    as_json: Json = False
    set_: Set = None

    def settings(self, name: str, url: str) -> dict[str, Any]:
        """Returns them as those of a pipeline called ``name`` that reads ``url``. Raises
        UserError."""
        data = stream_settings(name, url, self.model, self.models, self.device)
        data["model"] |= {"quality": self.quality, "denoise": denoise_share(self.denoise)}
        data["model"] |= {"precision": self.precision}
        data["input"] |= {"video": self.video, "audio": audio_choice(self.audio)}
        data["output"] = {"size": self.size, "scale": self.scale, "compare": self.compare}
        data["encoder"] = encoder_settings(self.codec, self.crf, self.preset, self.bitrate)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions(ResultOptions):
    """What the command line says of the files that are made, too."""

    overwrite: Annotated[bool, typer.Option(help="Replace an output that exists.")] = False
    container: Container = None
    labels: Annotated[bool, typer.Option(help="With --compare: say which is which.")] = False
    seconds: Seconds = None
    frames: Frames = None

    def data(self, url: str) -> dict[str, Any]:
        """Returns them as settings of a pipeline that reads ``url``, its output not named. Raises
        UserError."""
        data = self.settings("upscale", url)
        data["output"] |= {"labels": self.labels, "overwrite": self.overwrite}
        data["limits"] = {"seconds": self.seconds, "frames": self.frames}
        return data

    def settings_by(self, data: dict[str, Any]) -> Callable[[Path, Path], PipelineSettings]:
        """Returns what makes the settings of a source and its output: ``data`` but for the two."""

        def settings_of(source: Path, path: Path) -> PipelineSettings:
            given = {"input": data["input"] | {"url": str(source)}}
            given |= {"output": data["output"] | {"path": path}}
            return parsed(data | given, self.set_)

        return settings_of

    @property
    def suffix(self) -> str | None:
        """The ending that every video of a folder gets; None: its own, where that is ``kept``."""
        return self.container and f".{self.container}"

    @property
    def kept(self) -> Sequence[str]:
        """The endings that a video keeps where none is asked for."""
        return [s for s in SUFFIXES if s != ".webm" or self.codec in (None, "vp9")]


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command an option for each field of the ``ResultOptions`` that it takes."""
    taken: type[ResultOptions] = get_type_hints(function)[PLACE]

    @wraps(function)
    def run(**given: Any) -> None:
        said = {field.name: given.pop(field.name) for field in fields(taken)}
        function(**{PLACE: taken(**said)}, **given)

    kinds = get_type_hints(taken, include_extras=True)
    by_name = Parameter.KEYWORD_ONLY
    spread = [
        Parameter(field.name, by_name, default=field.default, annotation=kinds[field.name])
        for field in fields(taken)
    ]
    parameters: list[Parameter] = []
    for own in signature(function).parameters.values():
        parameters += spread if own.name == PLACE else [own.replace(kind=by_name)]
    described = cast("Any", run)  # this is what typer reads
    described.__signature__ = Signature(parameters)
    described.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
