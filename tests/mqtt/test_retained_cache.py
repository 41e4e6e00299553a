"""Whatever happens to what the broker retains, it is reconciled with the node's state."""

import random

from streamsr.mqtt.retained_cache import MAX_FOREIGN, RetainedCache


def test_only_what_differs_is_sent_and_in_order() -> None:
    cache = RetainedCache()
    wanted = {"b": b"1", "a": b"2", "online": b"yes"}
    assert cache.reconcile(wanted) == list(wanted.items())
    for topic, payload in wanted.items():
        cache.set(topic, payload)
    assert cache.reconcile(wanted) == []
    assert cache.reconcile({**wanted, "a": b"3"}) == [("a", b"3")]
    assert cache.reconcile({"b": b"1"}) == [("a", b""), ("online", b"")]


def test_a_new_connection_starts_from_nothing() -> None:
    cache = RetainedCache()
    cache.set("a", b"1")
    cache.clear()
    assert cache.reconcile({"a": b"1"}) == [("a", b"1")]
    assert cache.reconcile({}) == []


def test_foreign_topics_are_cleared_up_to_a_limit() -> None:
    cache = RetainedCache()
    cache.invalidate(["x/state", "x/snapshot"])
    assert cache.reconcile({}) == [("x/state", b""), ("x/snapshot", b"")]
    cache.invalidate(f"x{number}/state" for number in range(10_000))
    assert len(cache.reconcile({})) == MAX_FOREIGN


def test_what_is_invalidated_is_sent_again_at_any_number() -> None:
    cache = RetainedCache()
    wanted = {f"{number}": b"1" for number in range(2 * MAX_FOREIGN)}
    for topic, payload in wanted.items():
        cache.set(topic, payload)
    cache.invalidate(wanted)
    assert cache.reconcile(wanted) == list(wanted.items())


def test_it_always_converges() -> None:
    for seed in range(200):
        chance, cache = random.Random(seed), RetainedCache()
        broker: dict[str, bytes] = {}
        topics = [f"t{number}" for number in range(6)]

        def write(
            topic: str,
            payload: bytes,
            cache: RetainedCache = cache,
            broker: dict[str, bytes] = broker,
        ) -> None:
            broker.pop(topic, None)
            if payload:
                broker[topic] = payload
            cache.set(topic, payload)  # ours when it is sent, another client's when it comes

        for _ in range(100):
            wanted = {t: chance.randbytes(1) for t in topics if chance.random() < 0.6}
            for topic, payload in cache.reconcile(wanted)[: chance.randint(0, 6)]:
                write(topic, payload)
            if chance.random() < 0.2:
                write(chance.choice(topics), chance.choice([b"", b"other"]))
            if chance.random() < 0.05:  # a new connection, to a broker that may have restarted
                cache.clear()
                if chance.random() < 0.5:
                    broker.clear()
                cache.invalidate(list(broker))
        for topic, payload in cache.reconcile(wanted):
            write(topic, payload)
        assert broker == wanted
        assert cache.reconcile(wanted) == []
