from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processor.policy.window import Window

_events = st.lists(st.tuples(st.floats(0, 25), st.booleans()), max_size=80)


@given(events=_events, start=st.floats(0, 1e6))
def test_it_counts_what_is_young_and_forgets_what_is_old(events: list[tuple[float, bool]], start: float) -> None:
    window, now = Window(10.0), start
    hits: list[float] = []
    misses: list[float] = []
    for later, hit in events:
        now += later
        (window.hit if hit else window.miss)(now)
        (hits if hit else misses).append(now)
        for counted, times in ((window.hits, hits), (window.misses, misses)):
            young = sum(now - time < 9.0 - 1e-6 for time in times)  # it moves on by a tenth
            not_old = sum(now - time < 10.0 + 1e-6 for time in times)
            assert young <= counted <= not_old


def test_a_clock_that_goes_back_changes_nothing() -> None:
    window = Window(10.0)
    window.hit(100.0)
    window.miss(50.0)
    window.advance(0.0)
    assert (window.hits, window.misses) == (1, 1)
    window.advance(111.0)
    assert (window.hits, window.misses) == (0, 0)


def test_it_can_be_emptied() -> None:
    window = Window(10.0)
    window.hit(100.0)
    window.clear()
    window.miss(101.0)
    assert (window.hits, window.misses) == (0, 1)
    window.advance(200.0)
    assert (window.hits, window.misses) == (0, 0)
