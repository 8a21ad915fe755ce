"""The manager's decisions, one story at a time."""

from __future__ import annotations

from typing import Any, cast

import pytest

from holdfast.errors import (
    AlreadyExists,
    ClientAlreadyAttached,
    ClientNotAttached,
    Conflict,
    HoldfastError,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    SessionClosed,
    SessionNotFound,
    SessionTaken,
    StorageError,
    Unavailable,
    UsageError,
)
from holdfast.limits import LIMITS
from holdfast.sessions.access import Stranger
from holdfast.sessions.core.state import Session
from holdfast.sessions.model import Change, PatternSpec, Removal

World = Any


def error_of(ticket: Any) -> HoldfastError:
    assert ticket.answered == 1
    assert ticket.error is not None, ticket.what
    return cast("HoldfastError", ticket.error)


def change_of(ticket: Any) -> Change:
    assert ticket.answered == 1
    if ticket.error is not None:
        raise ticket.error
    return cast("Change", ticket.result)


# providers


def test_a_provider_whose_name_is_taken_or_bad(world: World) -> None:
    assert isinstance(error_of(world.add_provider("p")), AlreadyExists)
    for name in ("", "a.b", "*", "a b"):
        assert isinstance(error_of(world.add_provider(name)), UsageError)
    assert sorted(world.core.providers) == ["p", "q"]


def test_a_provider_that_does_not_start_leaves_nothing_behind(world: World) -> None:
    ticket = world.add_provider("r", settle=False)
    world.start_provider(Unavailable("nobody there"))
    assert "nobody there" in str(error_of(ticket))
    assert "r" not in world.core.providers
    assert world.add_provider("r").error is None, "its name is free"


def test_nothing_is_bound_to_a_provider_that_still_starts(world: World) -> None:
    world.add_provider("r", settle=False)
    assert isinstance(error_of(world.new("r.a")), NotFound)


def test_too_many_providers(world_type: type[World]) -> None:
    world = world_type(LIMITS._replace(providers_max=1))
    world.add_provider("p")
    error = error_of(world.add_provider("q"))
    assert isinstance(error, LimitExceeded)
    assert (error.name, error.limit) == ("providers_max", 1)


def test_removing_a_provider_tells_every_session_and_breaks_none(world: World) -> None:
    for number in range(100):
        world.new("p.a", f"p.own{number}", "q.b", id=f"s{number}")
    world.new("q.c", id="other")
    world.settle()
    world.attach("s7")
    world.told.clear()
    ticket = world.remove_provider("p", "maintenance")
    assert sorted(told[0] for told in world.told) == sorted(f"s{number}" for number in range(100))
    for session_id, patterns, reason in world.told:
        assert patterns == ("p.a", f"p.own{session_id[1:]}")
        assert reason == "the provider p was removed: maintenance"
    assert not ticket.answered
    world.settle()
    assert ticket.result == Removal(name="p", sessions=100)
    assert all(world.stored[f"s{number}"] == {"q.b"} for number in range(100))
    assert world.session("s7").attachment, "still attached"
    assert world.open == {"q.b", "q.c"}
    assert isinstance(error_of(world.configure("p.a", id="s3")), NotFound)
    world.add_provider("p")
    ticket = world.configure("p.a", "q.b", id="s3")
    world.settle()
    assert change_of(ticket).added == ["p.a"]


def test_removing_what_is_not_there_or_not_to_be_removed(world: World) -> None:
    world.add_provider("jobs", built_in=True)
    assert isinstance(error_of(world.remove_provider("nix")), NotFound)
    assert isinstance(error_of(world.remove_provider("jobs")), PermissionDenied)
    world.remove_provider("p")
    assert isinstance(error_of(world.remove_provider("p")), NotFound), "it is being removed already"
    world.settle()


def test_removing_a_provider_while_a_session_is_bound_to_it(world: World) -> None:
    world.new("q.a")
    world.settle()
    ticket = world.configure("q.a", "p.a")
    assert world.opening == ["p.a"]
    world.remove_provider("p")
    assert "p was removed" in str(error_of(ticket))
    world.settle()
    assert world.session().patterns.keys() == {"q.a"}
    unborn = world.new("q.a", "q.z", id="t")
    world.remove_provider("q")
    assert isinstance(error_of(unborn), NotFound)
    world.settle()
    assert "t" not in world.core.sessions
    assert not world.session().patterns
    assert not len(world.core.feeds)


# idle timers: armed at creation and at each detach, disarmed by attach, never for 0 or less


def test_a_new_session_is_armed_from_its_creation(world: World) -> None:
    world.new(idle_after=60.0)
    world.settle()
    world.advance(59.9)
    assert world.session().expires_at == 1_060.0
    world.advance(0.1)
    with pytest.raises(SessionNotFound):
        world.session()
    assert world.core.reaped == 1
    assert world.notes[-1].event == "session.closed"
    assert world.notes[-1].fields["reason"] == "idle for 60 s"
    assert "s" not in world.stored


@pytest.mark.parametrize("idle_after", [0.0, -1.0])
def test_never_for_a_timeout_that_is_not_positive(world: World, idle_after: float) -> None:
    world.new(idle_after=idle_after)
    world.settle()
    assert world.session().expires_at is None
    world.attach()
    world.detach()
    assert world.session().expires_at is None
    world.advance(1e9)
    assert world.session()
    assert world.core.next_deadline() is None


def test_attach_disarms_and_each_detach_arms_anew(world: World) -> None:
    world.new(idle_after=60.0)
    world.settle()
    world.advance(50.0)
    world.attach()
    assert world.session().expires_at is None
    world.advance(1_000.0)
    world.detach()
    world.advance(59.0)
    world.attach()
    world.advance(59.0)
    world.detach()
    world.advance(59.9)
    assert world.session()
    world.advance(0.2)
    assert "s" not in world.core.sessions


def test_a_thousand_detaches_leave_one_timer(world: World) -> None:
    world.new()
    world.settle()
    for _ in range(1_000):
        world.attach()
        world.detach()
        world.advance(0.01)
    assert len(world.core._book._idle) == 1


def test_ghosts_are_reaped_and_nothing_is_left_of_them(world: World) -> None:
    for number in range(3_000):
        world.new("p.a", id=f"s{number}", idle_after=60.0 + number % 7)
    world.settle()
    world.advance(100.0)
    assert not world.core.sessions
    assert not world.stored
    assert not world.bound
    assert not world.core._book._by_owner
    assert not world.open, "the feed went after its linger"
    closed = [note for note in world.notes if note.event == "session.closed"]
    assert len(closed) == 3_000
    assert len(world.core._book._idle) == 0


def test_timers_of_sessions_that_were_closed_do_not_pile_up(world: World) -> None:
    for number in range(5_000):
        world.new(id=f"s{number}", idle_after=1e6)
        world.settle()
        world.close(f"s{number}")
    assert len(world.core._book._idle) < 1_100


# clients


def test_attach_and_detach_twice(world: World) -> None:
    world.new()
    world.settle()
    assert isinstance(error_of(world.detach()), ClientNotAttached)
    assert world.attach(client="one").result.attachment == 1
    error = error_of(world.attach(client="two"))
    assert isinstance(error, ClientAlreadyAttached)
    assert error.holder == "one"
    assert world.clients["s"] == "one"
    world.detach()
    assert world.ended[-1] == ("s", None)
    assert isinstance(error_of(world.detach()), ClientNotAttached)


def test_stealing_tells_the_other_client_who_took_over(world: World) -> None:
    world.new()
    world.settle()
    world.attach(client="laptop")
    world.attach(client="phone", steal=True)
    _, error = world.ended[-1]
    assert isinstance(error, SessionTaken)
    assert error.holder == "phone"
    assert world.clients["s"] == "phone"
    assert world.core.attached == 1
    assert isinstance(error_of(world.detach("s", 1)), ClientNotAttached), "the laptop's detach is none of the phone's"
    assert world.detach("s", 2).error is None
    assert world.attach(steal=True).error is None, "stealing from nobody is attaching"


def test_a_cut_detaches_only_its_own_attachment(world: World) -> None:
    world.new()
    world.settle()
    world.attach(client="one")
    world.attach(client="two", steal=True)
    world.do(world.core.receive_cut("s", 1, None, world.now))
    assert world.session().attachment == 2
    world.do(world.core.receive_cut("s", 2, None, world.now))
    assert world.session().expires_at == world.now + 60.0
    world.do(world.core.receive_cut("nix", 2, None, world.now))


def test_a_foreign_session_is_answered_like_an_unknown_one(world: World) -> None:
    world.new("p.a")
    world.settle()
    world.attach()
    for ask in (world.attach, world.detach, world.close, world.configure):
        foreign = error_of(ask(id="s", owner="eve") if ask is not world.configure else ask("p.b", id="s", owner="eve"))
        unknown = error_of(ask(id="s", owner="eve") if ask is not world.configure else ask("p.b", id="s", owner="eve"))
        assert isinstance(foreign, SessionNotFound)
        assert (str(foreign), foreign.details()) == (str(unknown), unknown.details())
    eves = world.attach(owner="eve", steal=True, client="eve")
    assert isinstance(error_of(eves), SessionNotFound)
    assert world.clients["s"] == "c", "nobody was evicted"


def test_sessions_of_one_identity_and_of_the_node_are_limited(world_type: type[World]) -> None:
    world = world_type(LIMITS._replace(sessions_per_identity_max=2, sessions_max=3))
    assert world.new(id="1").answered + world.new(id="2").answered == 0
    error = error_of(world.new(id="3"))
    assert isinstance(error, LimitExceeded)
    assert error.name == "sessions_per_identity_max"
    world.new(id="3", owner="bob")
    error = error_of(world.new(id="4", owner="eve"))
    assert isinstance(error, LimitExceeded)
    assert error.name == "sessions_max"
    world.settle()
    world.close("1")
    assert not world.new(id="5").answered


# patterns


def test_a_session_is_seen_once_it_is_stored_and_bound(world: World) -> None:
    ticket = world.new("p.a", "q.>")
    with pytest.raises(SessionNotFound):
        world.session()
    world.open_feed()
    world.open_feed()
    with pytest.raises(SessionNotFound):
        world.session()
    world.finish_save()
    assert ticket.result is world.session()
    assert world.bound["s"] == {"p.a", "q.>"} == world.stored["s"]
    assert world.session().version == 1


def test_a_new_session_that_cannot_be_leaves_nothing(world: World) -> None:
    ticket = world.new("p.a", "q.b")
    world.open_feed("q.b", Unavailable("no such feed", address="x"))
    error = error_of(ticket)
    assert isinstance(error, Unavailable)
    assert str(error) == "q.b: no such feed"
    assert error.address == "x", "its fields are kept"
    world.settle()
    world.advance(10.0)
    assert not world.core.sessions
    assert not world.open
    ticket = world.new("p.a")
    world.open_feed()
    world.finish_save(StorageError("disk full"))
    assert isinstance(error_of(ticket), StorageError)
    assert not world.core.sessions


def test_fifty_for_fifty_with_half_in_common_is_all_or_nothing(world: World) -> None:
    old = [f"p.{number}" for number in range(50)]
    new = [f"p.{number}" for number in range(25, 75)]
    world.new(*old)
    world.settle()
    ticket = world.configure(*new)
    while len(world.opening) > 1:
        world.open_feed()
    assert world.opening == ["p.74"]
    world.open_feed(error=Unavailable("the last one is out"))
    assert str(error_of(ticket)) == "p.74: the last one is out"
    assert list(world.session().patterns) == old
    assert world.bound["s"] == set(old) == world.stored["s"] == world.open
    assert world.session().version == 1
    assert not world.saving
    ticket = world.configure(*new)
    world.settle()
    change = change_of(ticket)
    assert (change.version, change.added, change.removed) == (2, new[25:], old[:25])
    assert change.kept == new[:25]
    assert world.bound["s"] == set(new) == world.stored["s"]
    assert world.open >= set(new), "what is not needed any more lingers"
    world.advance(10.0)
    assert world.open == set(new)


def test_a_set_that_cannot_be_stored_is_not_in_force(world: World) -> None:
    world.new("p.a")
    world.settle()
    ticket = world.configure("p.b")
    world.open_feed()
    world.finish_save(StorageError("disk full"))
    assert isinstance(error_of(ticket), StorageError)
    world.settle()
    assert world.bound["s"] == {"p.a"} == world.stored["s"] == world.open


def test_dry_run_shows_and_does_nothing(world: World) -> None:
    world.new("p.a", "p.b", PatternSpec(pattern="q.c"))
    world.settle()
    ticket = world.configure("p.b", PatternSpec(pattern="q.c", policy="conflate"), "q.d", dry_run=True)
    assert change_of(ticket) == Change(version=1, added=["q.d"], changed=["q.c"], removed=["p.a"], kept=["p.b"])
    assert not world.opening
    assert not world.saving
    assert world.session().version == 1


def test_versions(world: World) -> None:
    world.new("p.a")
    world.settle()
    error = error_of(world.configure("p.b", expected_version=7))
    assert isinstance(error, Conflict)
    assert (error.expected, error.actual) == (7, 1)
    ticket = world.configure("p.b", expected_version=1)
    world.settle()
    assert change_of(ticket).version == 2


def test_configuring_while_it_is_being_configured_waits_its_turn(world: World) -> None:
    world.new("p.a")
    world.settle()
    first, second = world.configure("p.b"), world.configure("p.b", "p.c")
    third = world.configure("nix.d")
    assert not first.answered + second.answered + third.answered
    world.settle()
    assert (change_of(first).version, change_of(second).version) == (2, 3)
    assert isinstance(error_of(third), NotFound)
    assert world.bound["s"] == {"p.b", "p.c"}


def test_closing_while_it_is_being_configured(world: World) -> None:
    world.new("p.a")
    world.settle()
    first, second = world.configure("p.b"), world.configure("p.c")
    world.attach()
    assert world.close(reason="enough").error is None
    assert isinstance(error_of(first), SessionClosed)
    assert isinstance(error_of(second), SessionClosed)
    error = world.ended[-1][1]
    assert isinstance(error, SessionClosed)
    assert "enough" in str(error)
    assert isinstance(error_of(world.configure("p.b")), SessionNotFound)
    assert isinstance(error_of(world.close()), SessionNotFound)
    world.settle()
    world.advance(10.0)
    assert not world.open
    assert not world.stored


@pytest.mark.parametrize(
    ("patterns", "field"),
    [
        (["p..a"], "patterns[0].pattern"),
        ([">"], "patterns[0].pattern"),
        (["p.ok", "*.a"], "patterns[1].pattern"),
        (["p.ok", "p.ok"], "patterns[1]"),
        ([PatternSpec(pattern="p.a", policy=cast("Any", "hope"))], "patterns[0].policy"),
        ([PatternSpec(pattern="p.a", start=cast("Any", "later"))], "patterns[0].start"),
        ([PatternSpec(pattern="p.a", buffer_bytes=-1)], "patterns[0].buffer_bytes"),
    ],
)
def test_bad_patterns_are_named(world: World, patterns: list[Any], field: str) -> None:
    world.new("p.a")
    world.settle()
    for ticket in (world.configure(*patterns), world.new(*patterns, id="t")):
        error = error_of(ticket)
        assert isinstance(error, UsageError)
        assert error.field == field
    assert "t" not in world.core.sessions
    error = error_of(world.configure("nix.a"))
    assert isinstance(error, NotFound)
    assert (error.kind, error.name) == ("provider", "nix")


def test_too_many_patterns(world_type: type[World]) -> None:
    world = world_type(LIMITS._replace(session_patterns_max=2))
    world.add_provider("p")
    error = error_of(world.new("p.a", "p.b", "p.c"))
    assert isinstance(error, LimitExceeded)
    assert (error.name, error.limit, error.value) == ("session_patterns_max", 2, 3)


# feeds


def test_a_feed_is_shared_and_lingers(world: World) -> None:
    world.new("p.a", id="1")
    world.new("p.a", id="2", idle_after=0.0)
    assert world.opening == ["p.a"]
    world.settle()
    world.close("1")
    world.advance(100.0)
    assert world.open == {"p.a"}
    ticket = world.configure(id="2")
    world.settle()
    assert change_of(ticket).removed == ["p.a"]
    world.advance(4.9)
    assert world.open == {"p.a"}
    ticket = world.configure("p.a", id="2")
    world.finish_save()
    assert change_of(ticket).added == ["p.a"], "it was still open"
    world.advance(100.0)
    assert world.open == {"p.a"}
    world.close("2")
    world.advance(5.0)
    assert not world.open


def test_a_feed_that_fails_by_itself_unbinds_its_sessions(world: World) -> None:
    world.new("p.a", "q.b")
    world.settle()
    ticket = world.configure("p.a", "q.b", "q.c")
    world.do(world.core.receive_feed_failed("p.a", "gave up", world.now))
    assert "p.a: gave up" in str(error_of(ticket))
    assert world.told == [("s", ("p.a",), "gave up")]
    world.settle()
    assert world.stored["s"] == {"q.b"} == world.bound["s"]
    world.do(world.core.receive_feed_failed("p.a", "again", world.now))


def test_a_feed_that_is_wanted_again_while_it_fails_to_open(world: World) -> None:
    world.new("p.a")
    world.settle()
    first, second = world.configure("p.b"), world.configure("p.b")
    world.open_feed(error=Unavailable("not yet"))
    assert "p.b: not yet" in str(error_of(first))
    assert world.opening == ["p.b"], "the second wish tries anew"
    world.settle()
    assert change_of(second).added == ["p.b"]


def test_after_a_restart_patterns_are_followed_again_or_tried_until_they_are(world: World) -> None:
    assert isinstance(error_of(world.new("p.a", "r.b", id="new")), NotFound), "a new one cannot have what is not there"
    recovered = Session("back", Stranger("ann"), 60.0, 1.0)
    recovered.version = 3
    recovered.patterns = {name: PatternSpec(pattern=name) for name in ("p.a", "r.b")}
    world.do(world.core.receive_recovered(recovered, world.now))
    assert world.session("back").version == 3
    assert world.session("back").expires_at == world.now + 60.0
    assert world.opening == ["p.a"], "r is not there"
    world.open_feed(error=Unavailable("not yet"))
    world.attach("back")
    world.advance(5.0)
    assert world.opening == ["p.a"], "tried again"
    world.settle()
    world.add_provider("r")
    world.settle()
    assert world.open == {"p.a", "r.b"}
    assert world.bound["back"] == {"p.a", "r.b"}
