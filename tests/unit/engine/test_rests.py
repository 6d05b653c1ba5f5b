"""How long a task is left alone for which there was no room."""

from __future__ import annotations

from imageway.engine.rests import LONGEST_S, Rests


def test_each_rest_is_twice_as_long_up_to_a_minute() -> None:
    rests, now_s, taken = Rests(1.0), 100.0, list[float]()
    for _ in range(8):
        taken.append(rests.begin("req_1", now_s))
        assert rests.has("req_1", now_s + taken[-1] - 0.1)
        now_s += taken[-1]
        assert not rests.has("req_1", now_s)
    assert taken == [1, 2, 4, 8, 16, 32, LONGEST_S, LONGEST_S]


def test_a_rest_is_one_tasks() -> None:
    rests = Rests(1.0)
    rests.begin("req_1", 0.0)
    assert rests.begin("req_1", 1.0) == 2
    assert rests.begin("req_2", 1.0) == 1
    assert (rests.count(1.5), rests.count(2.5), rests.count(3.5)) == (2, 1, 0)


def test_who_found_room_begins_anew() -> None:
    rests = Rests(1.0)
    rests.begin("req_1", 0.0)
    rests.end("req_1")
    assert not rests.has("req_1", 0.5)
    assert rests.begin("req_1", 1.0) == 1


def test_what_rested_long_ago_is_forgotten() -> None:
    """Somebody else has it by now."""
    rests = Rests(1.0)
    for number in range(100):
        rests.begin(f"req_{number}", 0.0)
    rests.begin("req_100", 2 * LONGEST_S)
    assert list(rests._until) == ["req_100"]
