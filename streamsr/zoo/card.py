"""A model's card: what it is, what drives it, what it was trained on and how it measured."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from streamsr.core.config import Settings
from streamsr.core.settings.shapes import PlainLetters, Shaped
from streamsr.networks.facts import Colour, Facts

__all__ = [
    "AUTO",
    "CARD_NAME",
    "PRECISIONS",
    "TRAINING_NAME",
    "WEIGHTS_NAME",
    "Card",
    "FactsCard",
    "ModelName",
    "Origin",
    "Precision",
    "Weights",
]

CARD_NAME = "card.toml"
TRAINING_NAME = "train.toml"  # what made the weights, or would make them: a recipe
WEIGHTS_NAME = "weights.safetensors"

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)  # the most exact first

AUTO = "auto"  # for a stream: the family that suits its source
INT8 = {"fast": 1, "recurrent": 2}  # networks that run in it, and their window


def _not_auto(name: str) -> str:
    if name == AUTO:
        raise ValueError(f"{AUTO!r} is no model's name: it leaves the choice to streamsr")
    return name


ModelName = Annotated[PlainLetters, AfterValidator(_not_auto)]


class FactsCard(Settings):
    """What a caller must know of the model; see ``streamsr.networks.facts.Facts``."""

    scale: int = Field(ge=1, le=8)
    window: int = Field(ge=1, le=31)
    lookahead: int = Field(ge=0, le=30)
    colour: Colour
    multiple: int = Field(default=1, ge=1, le=64)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.facts()
        return self

    def facts(self) -> Facts:
        """Returns them as networks take them. Raises ValueError where they contradict."""
        return Facts(self.scale, self.window, self.lookahead, self.colour, self.multiple)


class Weights(Settings):
    """The weights file beside the card. A network without parameters has none."""

    file: Annotated[
        str, Shaped(r"^[A-Za-z0-9_.-]+\.safetensors$", "a file beside the card, *.safetensors")
    ] = WEIGHTS_NAME
    sha256: Annotated[str, Shaped(r"^[0-9a-f]{64}$", "64 hexadecimal digits, as sha256sum says")]


class Origin(Settings):
    """Where the weights come from."""

    trained_on: str = ""
    training: str = ""  # how long, on what, by which configuration
    licence: str = ""
    limits: str = ""


class Card(Settings):
    """``card.toml`` of a model folder. The folder's name is the model's name."""

    description: str
    family: ModelName | None = None  # left out: the folder's name
    network: str  # a key of streamsr.zoo.loading.NETWORKS, or a plugin's name
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)  # of its constructor
    # a family that takes a fraction of the time: live streams fall back to its member of one scale
    lighter: ModelName | None = None
    precision: Precision = "float32"  # the lowest one allowed
    facts: FactsCard
    weights: Weights | None = None
    origin: Origin = Origin()
    figures: dict[str, str] = Field(default_factory=dict)  # what was measured: figure and command

    @property
    def is_filter(self) -> bool:
        """Whether it resizes, or changes nothing, in place of a network."""
        return self.network == "resample"

    @property
    def serves_every_scale(self) -> bool:
        """Whether it is a filter that resizes to any; the one of scale 1 changes nothing."""
        return self.is_filter and self.facts.scale > 1

    def at_scale(self, scale: int) -> Self:
        """Returns the card of the same filter at another scale."""
        facts = self.facts.model_copy(update={"scale": scale})
        return self.model_copy(update={"facts": facts, "options": self.options | {"scale": scale}})

    @model_validator(mode="after")
    def _quantisable(self) -> Self:
        if self.precision == "int8" and INT8.get(self.network) != self.facts.window:
            allowed = " and ".join(f"{name!r} of window {n}" for name, n in INT8.items())
            got = f"network {self.network!r} of window {self.facts.window}"
            raise ValueError(f"precision: got 'int8' for {got}, allowed are {allowed}")
        return self

    @model_validator(mode="after")
    def _foldable(self) -> Self:
        fold = self.options.get("fold", 1)
        if isinstance(fold, int) and fold > 0 and self.facts.multiple % fold:
            multiple = self.facts.multiple
            raise ValueError(
                f"facts.multiple: got {multiple}, allowed are multiples of fold {fold}"
            )
        return self
