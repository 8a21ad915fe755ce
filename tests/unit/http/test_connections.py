"""Who stands still is cut."""

from __future__ import annotations

from holdfast.http.connections import StallWatch


class Peer:
    """A connection whose progress a test sets."""

    def __init__(self, progress: tuple[int, int] | None) -> None:
        self._progress = progress
        self.aborted = False

    def set(self, progress: tuple[int, int] | None) -> None:
        self._progress = progress

    def progress(self) -> tuple[int, int] | None:
        return self._progress

    def abort(self) -> None:
        self.aborted = True


def test_who_stands_still_is_cut_after_the_limit() -> None:
    watch, peer = StallWatch(10.0), Peer((0, 500))
    assert watch.check([peer], 0.0) == 0
    assert watch.check([peer], 9.9) == 0 and not peer.aborted
    assert watch.check([peer], 10.0) == 1 and peer.aborted


def test_any_progress_begins_the_time_anew() -> None:
    watch, peer = StallWatch(10.0), Peer((0, 500))
    for second in range(100):
        peer.set((0, 500 - second))
        assert watch.check([peer], float(second * 9)) == 0


def test_who_is_not_asked_for_anything_is_left_alone() -> None:
    watch, peer = StallWatch(10.0), Peer((0, 500))
    watch.check([peer], 0.0)
    peer.set(None)
    assert watch.check([peer], 50.0) == 0
    peer.set((0, 500))
    assert watch.check([peer], 60.0) == 0


def test_the_gone_are_forgotten() -> None:
    watch, peer = StallWatch(10.0), Peer((0, 500))
    watch.check([peer], 0.0)
    watch.check([], 5.0)
    assert watch._since == {}
