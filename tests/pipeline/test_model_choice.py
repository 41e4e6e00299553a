"""What a stream runs: chosen for its source, kept in its size, whoever asks at the same time."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from streamsr.core.errors import ConfigError, ModelError
from streamsr.core.events import Code
from streamsr.core.target_size import TargetSize
from streamsr.engine.engines import Engines
from streamsr.media.source import SourceInfo
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import SlidingWindow
from streamsr.pipeline.channel import Closed
from streamsr.pipeline.model_choice import Chosen, ModelChoice
from streamsr.pipeline.model_session import LoadedModel

INFO = SourceInfo(320, 180, Fraction(25), Fraction(1), "h264", "yuv420p")
LARGER = replace(INFO, width=640, height=360)
TWICE, THRICE = (TargetSize(scale=Fraction(scale)) for scale in (2, 3))
WAIT_S = 20.0


@pytest.fixture(scope="module")
def loaded() -> Iterator[Callable[..., list[LoadedModel]]]:
    """``loaded(*names)``: models of these names, all of them plain scaling."""
    with Engines(torch.device("cpu")) as engines:
        engine = engines.of(SlidingWindow(Resample(), Facts(4, 1, 0, Colour.LUMA)))
        yield lambda *names: [LoadedModel(name, engine) for name in names]


class Chooser:
    """Chooses models of its own, by which size is given, and notes what it was asked."""

    def __init__(self, models: list[LoadedModel], target: TargetSize = TWICE) -> None:
        self.asked: list[tuple[str, TargetSize | None]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = threading.Event()
        self.error: Exception | None = None
        self._models = models
        self._target = target

    def __call__(self, info: SourceInfo, kept: TargetSize | None) -> Chosen:
        self.asked.append((info.size, kept))
        self.begun.set()
        assert self.may_end.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        return Chosen(self._models, kept or self._target, "it suits")


def name_of(choice: ModelChoice) -> str:
    assert choice.current is not None
    return choice.current.name


def test_nothing_runs_before_the_source_is_known(
    loaded: Callable[..., list[LoadedModel]],
) -> None:
    choice = ModelChoice("auto", Chooser(loaded("fast", "plain")))
    assert (choice.current, choice.wanted, choice.why) == (None, "auto", "")
    assert choice.observe(100, 50, 3, 1.0, nobody) is None
    model, target = choice.suit(INFO)
    assert (model.name, target, choice.wanted, choice.why) == ("fast", TWICE, "fast", "it suits")


@pytest.mark.parametrize(
    "change", [{"height": 176}, {"rate": Fraction(10)}, {"codec": "hevc"}, {"width": 640}], ids=str
)
def test_it_chooses_again_where_the_source_has_changed(
    loaded: Callable[..., list[LoadedModel]], change: dict[str, object]
) -> None:
    choose = Chooser(loaded("fast"))
    choice = ModelChoice("auto", choose)
    first, same = choice.suit(INFO), choice.suit(replace(INFO, audio_codec="aac"))
    assert first[0] is same[0]
    assert len(choose.asked) == 1
    choice.suit(replace(INFO, **change))  # type: ignore[arg-type]
    assert len(choose.asked) == 2


def test_another_model_keeps_the_size_of_results(loaded: Callable[..., list[LoadedModel]]) -> None:
    choice, other = ModelChoice("auto", Chooser(loaded("fast"))), Chooser(loaded("new"), THRICE)
    choice.suit(INFO)
    choice.use(other)
    assert other.asked == [("320x180", TWICE)]
    model, target = choice.suit(INFO)
    assert (model.name, target) == ("new", TWICE)
    choice.suit(LARGER)  # another source has no size yet
    assert other.asked[1:] == [("640x360", None)]


def test_another_model_before_the_first_choice_makes_it(
    loaded: Callable[..., list[LoadedModel]],
) -> None:
    first, other = Chooser(loaded("fast")), Chooser(loaded("new"), THRICE)
    choice = ModelChoice("auto", first)
    choice.use(other)
    assert (first.asked, other.asked) == ([], [])
    model, target = choice.suit(INFO)
    assert (model.name, target) == ("new", THRICE)


@pytest.mark.parametrize("error", [ModelError("there is none"), ConfigError("too large")])
def test_what_cannot_be_chosen_changes_nothing(
    loaded: Callable[..., list[LoadedModel]], error: Exception
) -> None:
    choose, other = Chooser(loaded("fast")), Chooser(loaded("new"))
    choice = ModelChoice("auto", choose)
    choice.suit(INFO)
    other.error = error
    with pytest.raises(type(error)):
        choice.use(other)
    assert name_of(choice) == "fast"
    choice.suit(LARGER)
    assert [size for size, _ in choose.asked] == ["320x180", "640x360"]


def test_what_a_first_choice_raises_reaches_its_stream(
    loaded: Callable[..., list[LoadedModel]],
) -> None:
    choose = Chooser(loaded("fast"))
    choose.error = LookupError("a fault of ours")
    choice = ModelChoice("auto", choose)
    with pytest.raises(LookupError, match="a fault of ours"):
        choice.suit(INFO)
    assert choice.current is None


def test_another_model_while_one_is_chosen_is_not_lost(
    loaded: Callable[..., list[LoadedModel]],
) -> None:
    slow, other = Chooser(loaded("fast")), Chooser(loaded("new"))
    slow.may_end.clear()
    choice = ModelChoice("auto", slow)
    threads = [threading.Thread(target=choice.suit, args=(INFO,))]
    threads[0].start()
    assert slow.begun.wait(WAIT_S)
    threads.append(threading.Thread(target=choice.use, args=(other,)))
    threads[1].start()
    slow.may_end.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert name_of(choice) == "new"
    assert other.asked == [("320x180", TWICE)]


def test_a_choice_that_takes_long_is_left_behind(
    loaded: Callable[..., list[LoadedModel]],
) -> None:
    slow = Chooser(loaded("fast"))
    slow.may_end.clear()
    choice = ModelChoice("auto", slow)
    closing = threading.Thread(target=lambda: (slow.begun.wait(WAIT_S), choice.close()))
    closing.start()
    with pytest.raises(Closed):
        choice.suit(INFO)
    closing.join(WAIT_S)
    choice.close()  # twice is no fault
    slow.may_end.set()


def nobody(model: LoadedModel) -> bool:
    """No model loses."""
    return False


def observed(
    choice: ModelChoice, drops: int, loses: Callable[[LoadedModel], bool] = nobody
) -> list[tuple[Code, str]]:
    """What five seconds of a device that drops so many of 25 frames bring about."""
    said = [choice.observe(13 * n, drops * n, 0, n / 2, loses) for n in range(10)]
    return [one for one in said if one is not None]


def test_it_falls_back_along_its_models(loaded: Callable[..., list[LoadedModel]]) -> None:
    choice = ModelChoice("auto", Chooser(loaded("fast", "small", "plain")))
    choice.suit(INFO)
    (code, message), *_ = observed(choice, 6)
    assert code is Code.MODEL_FALLBACK
    assert message.startswith("from fast to small: ")
    assert choice.wanted == "fast"


def test_fewer_models_after_a_fallback(loaded: Callable[..., list[LoadedModel]]) -> None:
    choice = ModelChoice("auto", Chooser(loaded("fast", "small", "plain")))
    choice.suit(INFO)
    observed(choice, 6)
    choice.use(Chooser(loaded("new")))
    assert name_of(choice) == "new"


def test_what_loses_to_plain_scaling_is_passed_over_while_it_does(
    loaded: Callable[..., list[LoadedModel]],
) -> None:
    choice = ModelChoice("auto", Chooser(loaded("fast", "small", "plain")))
    choice.suit(INFO)
    (said,) = observed(choice, 0, lambda model: model.name in ("fast", "small"))
    assert said == (
        Code.MODEL_FALLBACK,
        "from fast to plain: the former is worse than plain scaling on this stream",
    )
    (said,) = observed(choice, 0, lambda model: model.name == "fast")
    assert said == (
        Code.MODEL_RESTORED,
        "from plain to small: the latter is better than plain scaling again",
    )
    assert name_of(choice) == "small"
