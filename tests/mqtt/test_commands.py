"""The mailbox: last wins, first come first served, bounded and paced."""

import random

from streamsr.mqtt.commands import OFF, ON, REST_S, Command, Mailbox, Verb


def test_commands_leave_in_the_order_they_came() -> None:
    box = Mailbox()
    sent = [Command(name, verb, "x") for name in ("b", "a") for verb in Verb]
    for command in sent:
        box.put(command)
    assert [box.take(0) for _ in sent] == sent
    assert box.take(0) is None
    assert box.wait_s(0) is None


def test_the_last_one_wins_in_the_first_one_s_place() -> None:
    box = Mailbox()
    box.put(Command("yard", Verb.ENABLE, ON))
    box.put(Command("yard", Verb.MODEL, "fast"))
    box.put(Command("yard", Verb.ENABLE, OFF))
    assert len(box) == 2
    assert box.take(0) == Command("yard", Verb.ENABLE, OFF)
    assert box.take(0) == Command("yard", Verb.MODEL, "fast")


def test_the_same_again_has_to_rest_and_holds_no_other_back() -> None:
    box = Mailbox()
    box.put(Command("yard", Verb.ENABLE, ON))
    assert box.take(10.0) is not None
    box.put(Command("yard", Verb.ENABLE, OFF))
    box.put(Command("door", Verb.ENABLE, OFF))
    assert box.take(10.1) == Command("door", Verb.ENABLE, OFF)
    assert box.take(10.1) is None
    assert box.wait_s(10.1) == REST_S - (10.1 - 10.0)
    assert box.take(10.0 + REST_S) == Command("yard", Verb.ENABLE, OFF)


def test_whatever_comes_it_is_bounded_and_the_last_word_of_each_is_kept() -> None:
    for seed in range(30):
        chance, box, now_s = random.Random(seed), Mailbox(), 0.0
        last: dict[tuple[str, Verb], Command] = {}
        left_s: dict[tuple[str, Verb], float] = {}
        done: dict[tuple[str, Verb], Command] = {}

        def take(
            now_s: float,
            box: Mailbox = box,
            left_s: dict[tuple[str, Verb], float] = left_s,
            done: dict[tuple[str, Verb], Command] = done,
        ) -> bool:
            command = box.take(now_s)
            if command is None:
                return False
            assert now_s - left_s.get(command.key, -1.0) >= REST_S
            left_s[command.key], done[command.key] = now_s, command
            return True

        for number in range(2000):
            now_s += chance.choice([0.0, 0.001, 0.01])
            command = Command(chance.choice("abc"), chance.choice(list(Verb)), str(number))
            last[command.key] = command
            box.put(command)
            assert len(box) <= 12
            if chance.random() < 0.3:
                take(now_s)
        while (wait_s := box.wait_s(now_s)) is not None:
            now_s += wait_s + 1e-9
            assert take(now_s)
        assert done == last
