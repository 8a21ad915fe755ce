from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.streams.reorder import Reorder

TRUTH = bytes(range(64))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 20), st.booleans(), st.integers(0, 64)), min_size=1, max_size=25
    )
)
def test_like_a_dictionary_of_bytes(story: list[tuple[int, int, bool, int]]) -> None:
    reorder = Reorder()
    model: dict[int, int | None] = {}
    due = 0
    for offset, size, lost, take_at in story:
        end = min(64, offset + size)
        new = [at for at in range(offset, end) if at not in model]
        payload = None if lost else TRUTH[offset:end]
        assert reorder.hold(offset, end, payload, 0) == bool(new)
        model.update({at: None if lost else TRUTH[at] for at in new})
        if take_at < due:
            continue
        position = take_at
        for piece in reorder.take(take_at):
            assert piece.offset == position
            for at in range(piece.offset, piece.end):
                assert model[at] == (None if piece.payload is None else piece.payload[at - piece.offset])
            position = piece.end
        assert position not in model
        model = {at: byte for at, byte in model.items() if at > position}
        due = position
    assert bool(reorder) == bool(model)


def test_tags_stay_with_their_bytes() -> None:
    reorder = Reorder()
    reorder.hold(4, 8, b"efgh", 1)
    reorder.hold(0, 10, b"abcdEFGHij", 2)
    assert [(p.offset, p.end, bytes(p.payload or b""), p.tag) for p in reorder.take(0)] == [
        (0, 4, b"abcd", 2),
        (4, 8, b"efgh", 1),
        (8, 10, b"ij", 2),
    ]
    assert not reorder


def test_clear() -> None:
    reorder = Reorder()
    reorder.hold(4, 8, b"efgh", 1)
    reorder.clear()
    assert len(reorder) == 0
    assert reorder.take(4) == []
