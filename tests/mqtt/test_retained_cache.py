"""Whatever happens to the broker's memory, it ends as the truth."""

import random

from streamsr.mqtt.retained_cache import STRANGERS, RetainedCache


def test_only_what_differs_is_sent_and_in_order() -> None:
    board = RetainedCache()
    wanted = {"b": b"1", "a": b"2", "online": b"yes"}
    assert board.differences(wanted) == list(wanted.items())
    for topic, payload in wanted.items():
        board.keeps(topic, payload)
    assert board.differences(wanted) == []
    assert board.differences({**wanted, "a": b"3"}) == [("a", b"3")]
    assert board.differences({"b": b"1"}) == [("a", b""), ("online", b"")]


def test_a_new_connection_starts_from_nothing() -> None:
    board = RetainedCache()
    board.keeps("a", b"1")
    board.forget()
    assert board.differences({"a": b"1"}) == [("a", b"1")]
    assert board.differences({}) == []


def test_strangers_are_cleared_but_not_without_end() -> None:
    board = RetainedCache()
    board.found(["x/state", "x/snapshot"])
    assert board.differences({}) == [("x/state", b""), ("x/snapshot", b"")]
    board.found(f"x{number}/state" for number in range(10_000))
    assert len(board.differences({})) == STRANGERS


def test_what_is_doubted_is_sent_again() -> None:
    board = RetainedCache()
    board.keeps("a", b"1")
    board.doubt(["a", "never sent"])
    assert board.differences({"a": b"1"}) == [("a", b"1")]


def test_it_always_converges() -> None:
    for seed in range(200):
        chance, board = random.Random(seed), RetainedCache()
        broker: dict[str, bytes] = {}
        topics = [f"t{number}" for number in range(6)]

        def write(
            topic: str, payload: bytes, board: RetainedCache = board, broker: dict = broker
        ) -> None:
            broker.pop(topic, None)
            if payload:
                broker[topic] = payload
            board.keeps(topic, payload)  # ours by the sending, another's by its echo

        for _ in range(100):
            wanted = {t: chance.randbytes(1) for t in topics if chance.random() < 0.6}
            for topic, payload in board.differences(wanted)[: chance.randint(0, 6)]:
                write(topic, payload)
            if chance.random() < 0.2:
                write(chance.choice(topics), chance.choice([b"", b"other"]))
            if chance.random() < 0.05:  # a broker that has forgotten, or one that has not
                board.forget()
                if chance.random() < 0.5:
                    broker.clear()
                board.found(list(broker))
        for topic, payload in board.differences(wanted):
            write(topic, payload)
        assert broker == wanted
        assert board.differences(wanted) == []
