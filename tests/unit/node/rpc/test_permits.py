"""Every command has its permit; whatever has none is answered to nobody."""

from __future__ import annotations

import holdfast.channels.api
import holdfast.node.node
from holdfast.node.rpc.permits import PERMITS
from holdfast.rpc import commands
from holdfast.security.policy import OWNERS_ONLY, RULES

SERVED = {
    command.name: command
    for command in commands._BY_METHOD.values()
    if command.function.__module__.startswith("holdfast.") and ".keeper." not in command.function.__module__
}
"""What the modules of a node define."""


def test_the_node_was_looked_at() -> None:
    assert holdfast.node.node.Node.__doc__
    assert holdfast.channels.api.COMMANDS.namespace == "channels"
    assert {"jobs.start", "node.info", "tokens.mint", "channels.append"} <= set(SERVED)


def test_every_command_has_a_permit_and_every_permit_a_command() -> None:
    assert set(SERVED) == set(PERMITS)


def test_permits_name_parameters_that_are_there() -> None:
    for name, permit in PERMITS.items():
        if permit.action in OWNERS_ONLY:
            assert (permit.parameter, permit.speaker) == ("", ""), name
            continue
        command, rule = SERVED[name], RULES[permit.action]
        if rule.kind in ("node", "all"):
            assert permit.parameter == "", name
        elif rule.kind != "list":
            assert permit.parameter in command.parameters, name
        assert permit.speaker in ("", *command.parameters), name
        for parameter, kind in (("job", "job"), ("channel", "channel"), ("path", "stream")):
            if parameter in command.parameters:
                assert (permit.parameter, rule.kind) == (parameter, kind), name
        if "sender" in command.parameters:
            assert permit.speaker == "sender", name
