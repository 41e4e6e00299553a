"""The model of a run on the disk: written beside its place, and put there as a whole."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import nn

from streamsr.core.config import dump
from streamsr.core.errors import OutputError
from streamsr.train.settings import TrainSettings
from streamsr.zoo.card import CARD_NAME, TRAINING_NAME, WEIGHTS_NAME, Weights
from streamsr.zoo.weights import write_weights

__all__ = ["ModelFolder"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Where a run's model is, and where the next one is made, which no search for models finds."""

    place: Path
    _scratch: Path

    @classmethod
    def of(cls, settings: TrainSettings) -> Self:
        """Returns that of a run; puts back a model that a kill has left beside its place."""
        run = settings.runs / settings.name
        folder = cls(run / settings.name, run / ".new")  # no model has such a name
        if folder._former.is_dir() and not folder.place.exists():
            folder._former.rename(folder.place)
        return folder

    @property
    def made(self) -> Path:
        """The new model, until it is put in its place."""
        return self._scratch / self.place.name  # a folder's name is that of its model

    @property
    def _former(self) -> Path:
        return self._scratch / ".former"

    def write(self, network: nn.Module, settings: TrainSettings) -> None:
        """Makes a model of a network: its weights, its card and its settings.

        Raises OutputError where that cannot be written.
        """
        self.discard()
        try:
            self.made.mkdir(parents=True)
            sha256 = write_weights(self.made / WEIGHTS_NAME, network)
            card = settings.model.model_copy(update={"weights": Weights(sha256=sha256)})
            dump(card, self.made / CARD_NAME)
            dump(settings, self.made / TRAINING_NAME)
        except OSError as error:
            raise OutputError(f"{self.made}: cannot be written: {error.strerror}") from None

    def put_in_place(self) -> Path:
        """Makes the new model the run's; returns its folder. What else lay in there stays."""
        try:
            if self.place.exists():
                self.place.rename(self._former)
            self.made.rename(self.place)
            if self._former.exists():
                for other in self._former.iterdir():
                    if not (self.place / other.name).exists():
                        other.rename(self.place / other.name)
        except OSError as error:
            raise OutputError(f"{self.place}: cannot be written: {error.strerror}") from None
        self.discard()
        return self.place

    def discard(self) -> None:
        """Removes a new model that was not put in its place; that one stays."""
        shutil.rmtree(self._scratch, ignore_errors=True)
