from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.channels.model import AppendResult, Outcome
from holdfast.channels.packing import check_batch
from holdfast.client.channels import appending
from holdfast.client.channels.appending import Numbers, Parcel, make_parcels, one_parcel, settle, sum_up
from holdfast.client.channels.drafts import message
from holdfast.errors import ChannelFull, SequenceConflict, to_wire
from holdfast.rpc.commands import INLINE_BYTES_MAX

FULL = to_wire(ChannelFull(name="channel_entries_max", limit=1, value=2))
CONFLICT = to_wire(SequenceConflict("taken", 1, 1))


def numbers(last: int = 0) -> Numbers:
    made = Numbers()
    made.learn(last)
    return made


def parcel(*payloads: bytes) -> Parcel:
    (made,) = make_parcels(list(payloads), numbers())
    return made


def sequences_in(made: Parcel) -> list[int]:
    return list(check_batch(made.data).sequences)


def test_numbers_only_go_up() -> None:
    mine = numbers(10)
    assert [mine.take(1), mine.take(5), mine.take(1)] == [11, 12, 17]
    mine.learn(3)
    assert mine.next == 18
    mine.learn(100)
    assert mine.take(1) == 101
    mine.jump(0.5)
    assert mine.take(1) == 102 + 2**31


@given(st.lists(st.integers(0, 400_000), max_size=30))
def test_parcels_hold_every_entry_once_in_order_and_fit_a_call(sizes: list[int]) -> None:
    payloads = [bytes([place % 256]) * size for place, size in enumerate(sizes)]
    made = list(make_parcels(payloads, numbers()))
    assert [position for each in made for position in each.positions] == list(range(len(payloads)))
    assert [sequence for each in made for sequence in each.sequences] == list(range(1, len(payloads) + 1))
    assert [sequence for each in made for sequence in sequences_in(each)] == list(range(1, len(payloads) + 1))
    for each in made:
        assert len(each.sequences) == 1 or len(each.data) <= INLINE_BYTES_MAX


def test_a_million_empty_entries_make_parcels_of_bounded_size() -> None:
    assert max(len(each.data) for each in make_parcels([b""] * 50_000, numbers())) <= appending.PARCEL_BYTES


def test_text_and_json_keep_what_they_are() -> None:
    (made,) = make_parcels(["text", b"bytes", {"a": 1}], numbers())
    batch = check_batch(made.data)
    assert [batch.data[batch.starts[place] + 5] for place in range(3)] == [0, 0, 1]  # only JSON has a content type
    (plain,) = make_parcels(["a", "b"], numbers())
    assert check_batch(plain.data).plain


def test_all_went_well() -> None:
    settled = settle(parcel(b"a", b"b"), AppendResult(first_index=7, last_index=8))
    assert (settled.appended, settled.first_index, settled.last_index) == (2, 7, 8)
    assert not settled.contested and not settled.refused


def test_a_repeat_after_a_cut_is_ours_and_before_one_it_is_somebody_elses() -> None:
    result = AppendResult(first_index=9, last_index=9, others=[Outcome(position=0, index=5)])
    fresh, resent = parcel(b"a", b"b"), parcel(b"a", b"b")
    resent.resent = True
    assert settle(fresh, result).contested == (0,)
    settled = settle(resent, result)
    assert (settled.appended, settled.first_index, settled.last_index, settled.contested) == (2, 5, 9, ())


def test_a_sequence_the_caller_chose_is_wanted_as_it_is() -> None:
    chosen = one_parcel(message("x"), 4, explicit=True)
    repeated = AppendResult(others=[Outcome(position=0, index=3)])
    assert settle(chosen, repeated).first_index == 3
    refused = settle(chosen, AppendResult(others=[Outcome(position=0, error=CONFLICT)])).refused
    assert isinstance(refused[0].error, SequenceConflict)


def test_what_is_refused_has_the_callers_position() -> None:
    made = parcel(b"a", b"b", b"c")
    made.positions = range(100, 103)
    result = AppendResult(first_index=1, last_index=2, others=[Outcome(position=2, error=FULL)])
    settled = settle(made, result)
    assert [(each.position, type(each.error)) for each in settled.refused] == [(102, ChannelFull)]
    assert settled.appended == 2


def test_contested_entries_go_again_under_other_numbers() -> None:
    made = parcel(b"a", b"b", b"c")
    result = AppendResult(
        first_index=4, last_index=4, others=[Outcome(position=0, error=CONFLICT), Outcome(position=2, index=2)]
    )
    contested = settle(made, result).contested
    assert contested == (0, 2)
    again = made.renumbered(contested, numbers(50))
    batch = check_batch(again.data)
    assert list(batch.sequences) == list(again.sequences) == [51, 52]
    assert [batch.draft(place)[-1:] for place in range(2)] == [b"a", b"c"]
    assert (list(again.positions), again.met) == ([0, 2], 1)


def test_the_sum_of_parcels() -> None:
    parts = [
        settle(parcel(b"a"), AppendResult(first_index=5, last_index=5)),
        settle(parcel(b"b"), AppendResult(others=[Outcome(position=0, error=FULL)])),
        settle(parcel(b"c"), AppendResult(first_index=3, last_index=3)),
    ]
    total = sum_up(parts)
    assert (total.appended, total.first_index, total.last_index, len(total.refused)) == (2, 3, 5, 1)
    assert sum_up([]) == (0, 0, 0, ())
