"""Laws of the thread that does the newest thing it was asked for."""

import threading
import time

import pytest

from napari_mganprior.errors import ComputeError, MGANPriorError, SettingsError
from napari_mganprior.runs.latest import Latest


@pytest.fixture
def latest():
    latest = Latest("napari-mganprior test")
    yield latest
    assert latest.close(10.0)


def answers_of(latest, *, seconds=10.0):
    """Take answers until there is nothing more to do."""
    end, found = time.monotonic() + seconds, []
    while latest.busy:
        assert time.monotonic() < end
        found += latest.take()
        time.sleep(0.002)
    return found + latest.take()


def held(gate, value):
    """Answer once the gate is open."""

    def steps():
        assert gate.wait(10.0)
        yield value

    return steps


def test_what_is_asked_is_answered_and_ended(latest):
    ticket = latest.ask(lambda: iter([1, None, 2]))
    found = answers_of(latest)
    assert [(a.ticket, a.value, a.last) for a in found] == [
        (ticket, 1, False), (ticket, 2, False), (ticket, None, True)
    ]  # fmt: skip


def test_of_many_questions_the_last_is_answered(latest):
    """Law: never a queue; what is under way is finished if it has shown nothing yet."""
    gate = threading.Event()
    first = latest.ask(held(gate, "first"))
    time.sleep(0.05)  # under way
    tickets = [latest.ask(lambda n=n: iter([n])) for n in range(50)]
    gate.set()
    found = answers_of(latest)
    assert {a.ticket for a in found} == {first, tickets[-1]}
    assert [a.value for a in found if a.value is not None] == ["first", 49]


def test_what_has_shown_something_is_left_for_something_newer(latest):
    gate, shown = threading.Event(), threading.Event()

    def slow():
        yield "draft"
        shown.set()
        assert gate.wait(10.0)
        yield None
        yield "exact"

    latest.ask(slow)
    assert shown.wait(10.0)
    latest.ask(lambda: iter(["newer"]))
    gate.set()
    assert [a.value for a in answers_of(latest) if a.value] == ["draft", "newer"]


def test_other_things_wait_their_turn_and_go_on_where_they_were(latest):
    """Law: what is done when there is time is interrupted, not begun again, and in order."""
    gate, begun = threading.Event(), []

    def background():
        begun.append(1)
        for number in range(3):
            yield f"later {number}"
            assert gate.wait(10.0)

    latest.ask_later(background)
    latest.ask_later(lambda: iter(["last"]))
    while not begun:
        time.sleep(0.002)
    latest.ask(lambda: iter(["now"]))
    gate.set()
    told = [a.value for a in answers_of(latest) if a.value]
    assert told.index("now") < told.index("later 2") < told.index("last")
    assert begun == [1]


def test_a_failure_is_told_and_the_thread_lives_on(latest):
    """Law: whatever happened, the user gets one of our errors."""

    def broken():
        yield None
        raise RuntimeError("torch has failed")

    latest.ask(broken)
    (failed,) = answers_of(latest)
    assert isinstance(failed.error, ComputeError)
    assert failed.last
    latest.ask_later(broken)
    latest.ask_later(lambda: iter([1]))
    assert [a.value for a in answers_of(latest)] == [None, 1, None]


def test_waiting_work_is_dropped(latest):
    gate = threading.Event()
    latest.ask(held(gate, 1))
    latest.ask_later(lambda: iter([2]))
    latest.forget_later()
    gate.set()
    assert [a.value for a in answers_of(latest) if a.value] == [1]


def test_what_is_to_last_is_not_dropped_with_the_rest(latest):
    gate = threading.Event()
    latest.ask(held(gate, 1))
    latest.ask_later(lambda: iter([2]))
    latest.ask_later(lambda: iter([3]), lasting=True)
    latest.forget_later()
    latest.ask_later(lambda: iter([4]))
    gate.set()
    assert [a.value for a in answers_of(latest) if a.value] == [1, 3, 4]
    gate.clear()
    latest.ask(held(gate, 1))
    latest.ask_later(lambda: iter([3]), lasting=True)
    latest.forget_later(lasting=True)
    gate.set()
    assert [a.value for a in answers_of(latest) if a.value] == [1]


def test_torch_computes_with_as_many_threads_as_preferred(latest):
    import torch

    def count():
        yield torch.get_num_threads()

    usual = torch.get_num_threads()
    latest.ask(count)
    assert answers_of(latest)[0].value == usual
    latest.threads = usual + 1
    latest.ask(count)
    assert answers_of(latest)[0].value == usual + 1
    latest.threads = -1
    with pytest.raises(SettingsError, match="Got -1 threads"):
        latest.ask(count)


def test_after_closing_nothing_is_taken():
    latest = Latest("napari-mganprior test")
    latest.ask(lambda: iter([1]))
    assert latest.close(10.0)
    with pytest.raises(MGANPriorError, match="Got work for a closed form"):
        latest.ask(lambda: iter([2]))


def test_an_idle_thread_ends_and_starts_again(monkeypatch, latest):
    monkeypatch.setattr("napari_mganprior.runs.latest._IDLE", 0.01)
    for number in range(3):
        latest.ask(lambda n=number: iter([n]))
        assert [a.value for a in answers_of(latest)] == [number, None]
        thread = latest._thread
        if thread is not None:
            thread.join(10.0)
        assert latest._thread is None
