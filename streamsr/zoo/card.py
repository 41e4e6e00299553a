"""A model's card: what it is, what drives it, what it was trained on and how it measured."""

from typing import Literal, Self

from pydantic import Field, model_validator

from streamsr.core.config import Settings
from streamsr.networks.facts import Colour, Facts

__all__ = ["CARD_NAME", "WEIGHTS_NAME", "Card", "FactsCard", "Origin", "Weights"]

CARD_NAME = "card.toml"
WEIGHTS_NAME = "weights.safetensors"


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

    file: str = Field(default=WEIGHTS_NAME, pattern=r"^[A-Za-z0-9_.-]+\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Origin(Settings):
    """Where the weights come from."""

    trained_on: str = ""
    training: str = ""  # how long, on what, by which configuration
    licence: str = ""
    limits: str = ""


class Card(Settings):
    """``card.toml`` of a model folder. The folder's name is the model's name."""

    description: str
    network: str  # a key of streamsr.zoo.loading.NETWORKS
    options: dict[str, bool | int | str] = Field(default_factory=dict)  # of its constructor
    # a model that takes a fraction of the time: live streams fall back to it, and it runs instead
    # of this one, asked for by name, on a CPU without bfloat16 matrix units (Intel AMX)
    lighter: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$")
    # what a CPU runs it in that has instructions for it; int8 means bfloat16 wherever that is
    # quicker: with Intel AMX, and on a GPU
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    facts: FactsCard
    weights: Weights | None = None
    origin: Origin = Origin()
    figures: dict[str, str] = Field(default_factory=dict)  # what was measured: figure and command

    @model_validator(mode="after")
    def _quantisable(self) -> Self:
        if self.precision == "int8" and (self.network, self.facts.window) != ("fast", 1):
            got = f"network {self.network!r} of window {self.facts.window}"
            raise ValueError(f"precision: got 'int8' for {got}, allowed is 'fast' of window 1")
        return self
