"""What each command does, in the words of the policy: a command that is not here is answered to nobody.

A line is all that a new command needs.
"""

from __future__ import annotations

from typing import NamedTuple

from ...security.policy import Action


class Permit(NamedTuple):
    """The policy's action, and which parameters of the command it depends on."""

    action: Action
    parameter: str = ""
    """Names the resource."""
    speaker: str = ""
    """Names in whose name the caller speaks, if not in its own."""


PERMITS: dict[str, Permit] = {
    "node.info": Permit("node.read"),
    "node.stop": Permit("node.stop"),
    "tokens.mint": Permit("tokens.manage"),
    "tokens.list": Permit("tokens.manage"),
    "tokens.revoke": Permit("tokens.manage"),
    "tokens.link": Permit("tokens.manage"),
    "jobs.list": Permit("jobs.list"),
    "jobs.start": Permit("jobs.start"),
    "jobs.get": Permit("jobs.read", "job"),
    "jobs.output": Permit("jobs.read", "job"),
    "jobs.wait": Permit("jobs.read", "job"),
    "jobs.send": Permit("jobs.write", "job"),
    "jobs.signal": Permit("jobs.write", "job"),
    "jobs.resize": Permit("jobs.write", "job"),
    "jobs.stop": Permit("jobs.write", "job"),
    "jobs.remove": Permit("jobs.write", "job"),
    "channels.list": Permit("channels.list", "process"),
    "channels.stats": Permit("node.read"),
    "channels.get": Permit("channels.read", "channel"),
    "channels.senders": Permit("channels.read", "channel"),
    "channels.read": Permit("channels.read", "channel"),
    "channels.subscribe": Permit("channels.read", "channel"),
    "channels.append": Permit("channels.write", "channel", speaker="sender"),
    "channels.append_stream": Permit("channels.write", "channel", speaker="sender"),
    "channels.close": Permit("channels.manage", "channel"),
    "channels.set_executor": Permit("channels.manage", "channel"),
    "channels.remove": Permit("channels.manage", "channel"),
    "channels.create": Permit("channels.create", "process"),
    "channels.set_process_executor": Permit("channels.manage_process", "process"),
    "channels.close_process": Permit("channels.manage_process", "process"),
    "channels.cleanup_process": Permit("channels.manage_process", "process"),
    "groups.list": Permit("groups.read"),
    "groups.status": Permit("groups.read"),
    "groups.snapshot": Permit("groups.read"),
    "groups.create": Permit("groups.write"),
    "groups.join": Permit("groups.write"),
    "groups.leave": Permit("groups.write"),
    "groups.set_peers": Permit("groups.write"),
    "groups.set_key": Permit("groups.write"),
    "groups.send": Permit("groups.write"),
    "groups.send_stream": Permit("groups.write"),
    "groups.remove": Permit("groups.write"),
    "streams.list": Permit("streams.list"),
    "streams.info": Permit("streams.read", "path"),
    "streams.read": Permit("streams.read", "path"),
    "streams.create": Permit("streams.write", "path"),
    "streams.append": Permit("streams.write", "path"),
    "streams.append_stream": Permit("streams.write", "path"),
    "streams.remove": Permit("streams.write", "path"),
    "sessions.new": Permit("sessions.use"),
    "sessions.attach": Permit("sessions.use"),
    "sessions.detach": Permit("sessions.use"),
    "sessions.configure": Permit("sessions.use"),
    "sessions.ack": Permit("sessions.use"),
    "sessions.close": Permit("sessions.use"),
    "sessions.info": Permit("sessions.use"),
    "sessions.list": Permit("sessions.use"),
    "sessions.publish": Permit("sessions.use"),
    "sessions.subjects": Permit("sessions.use"),
    "sessions.providers": Permit("sessions.use"),
    "sessions.stats": Permit("node.read"),
    "sessions.add_provider": Permit("sessions.providers"),
    "sessions.remove_provider": Permit("sessions.providers"),
    "records.pull": Permit("records.read"),
    "records.lookup": Permit("records.read"),
    "records.stat": Permit("records.read"),
    "records.stats": Permit("records.read"),
    "records.resolve": Permit("records.read"),
    "records.tags": Permit("records.read"),
    "records.referrers": Permit("records.read"),
    "records.feed": Permit("records.read"),
    "records.follow": Permit("records.read"),
    "records.why": Permit("records.read"),
    "records.uploads": Permit("records.read"),
    "records.artifact": Permit("records.read"),
    "records.artifacts": Permit("records.read"),
    "records.read_artifact": Permit("records.read"),
    "records.list": Permit("records.read"),
    "records.push": Permit("records.write"),
    "records.delete": Permit("records.write"),
    "records.tag": Permit("records.write"),
    "records.untag": Permit("records.write"),
    "records.push_referrer": Permit("records.write"),
    "records.delete_referrers": Permit("records.write"),
    "records.gc": Permit("records.write"),
    "records.begin_upload": Permit("records.write"),
    "records.upload": Permit("records.write"),
    "records.commit_upload": Permit("records.write"),
    "records.abort_upload": Permit("records.write"),
    "records.delete_artifact": Permit("records.write"),
    "records.seal": Permit("jobs.write", "job"),
    "records.verify": Permit("jobs.read", "job"),
}

_MOUNTED = {"jobs": Permit("jobs.read", "path"), "channels": Permit("channels.read", "path")}
"""What reading takes below the first segments that are not free-standing streams."""


def meant(permit: Permit, shown: str) -> tuple[Permit, str]:
    """What the command does and to what, where a path may stand for the output of a job, or for a channel."""
    if permit.action != "streams.read":
        return permit, shown
    first, _, rest = shown.partition("/")
    mounted = _MOUNTED.get(first)
    if mounted is None:
        return permit, shown
    return mounted, rest.partition("/")[0] if first == "jobs" else rest
