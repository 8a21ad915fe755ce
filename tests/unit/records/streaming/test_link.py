from __future__ import annotations

from holdfast.records.streaming.link import Link


def opened(link: Link, now: float) -> None:
    assert link.may_open(now)
    link.opening = True
    assert not link.may_open(now)
    link.opened(now)
    assert not link.may_open(now)


def test_one_at_a_time_and_none_before_its_time() -> None:
    link = Link(10, 0.0)
    opened(link, 0.0)
    link.close()
    link.open_at = 3.0
    assert not link.may_open(2.9)
    opened(link, 3.0)
    assert link.opened_at == 3.0


def test_after_a_cut_one_item_may_be_under_way_then_with_each_answer_one_more() -> None:
    link = Link(5, 0.0)
    opened(link, 0.0)
    assert link.allowance == 5
    link.close()
    link.broke()
    opened(link, 0.0)
    allowances = [link.allowance]
    for _ in range(3):
        link.answered(2)
        allowances.append(link.allowance)
    assert allowances == [1, 3, 5, 5]


def test_an_answer_ends_a_row_of_cuts() -> None:
    link = Link(5, 0.0)
    assert [link.broke(), link.broke()] == [1, 2]
    opened(link, 0.0)
    link.answered(1)
    assert [link.answers, link.broke(), link.broke()] == [1, 1, 2]
