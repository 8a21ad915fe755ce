"""Why a goal is not reached, as far as profiles have shown; printed beside the figure as long as it is so."""

from __future__ import annotations

from bench.figures import Figure

CAUSES = {
    "terminal: cat to an attached client, durable, vs a bare PTY loop": (
        "the keeper alone reaches 0.83 of the bare loop and spends 84 % of its busy time in the kernel's read"
        " of at most 4 KiB; end to end cat, the kernel's terminal, keeper, node with its writer and client "
        "share the cores, and the node's commits, 80 % of its writer's time, hold up acknowledgements"
    ),
    "start a job on a warm node (SDK)": (
        "two group commits (1.5 ms: the record before the command may run, and who it is) and a keeper's "
        "birth (4 ms: forks of an 11 MB interpreter, its socket, its note, the command's exec)"
    ),
    "holdfast run -d -- true, whole process": (
        "58 ms of one processor: the interpreter 10, click and what it loads 15, typing, json, socket and enum 12, "
        "our own fifty modules 17, of them 5 the models' dataclasses; and the job's start 8, in other processes"
    ),
    "holdfast ps, whole process": (
        "on a machine that others use: 57 ms on a quiet one, imports as for run; click could go for argparse (12 ms "
        "less), which we have not done"
    ),
    "stream packets of 4 KiB": (
        "2.2 µs to receive and 1.9 µs to send a packet in Python, for flow control the peer does without; "
        "real streams grow to packets of 64 KiB"
    ),
    "append of batches of 1,000 x 100 B, ack disk, 32 in flight": (
        "between 0.8 and 1.1 from run to run: the write-ahead log is written and later copied, the peer "
        "writes once; channels store blobs, the next row"
    ),
    "single appends of 100 B, ack disk, 128 waiters": (
        "3.5 µs of Python for each append, its future and its waiter, beside SQLite's commit; the peer has "
        "one future a group"
    ),
    "single blobs of 100 B, ack disk, 128 waiters": "as for single appends",
    "records of 1 KiB pushed on one stream, ack disk (SDK)": (
        "the node's one core: 42 µs a record for its canonical form, digest, metadata and SQLite's commit, the "
        "client's 12 µs beside it; on a quiet machine it is 19,000 to 22,000 a second"
    ),
    "records of 1 KiB pushed on one gRPC stream, ack disk": (
        "grpc.aio takes some 100 µs of processor for each message at each end, one after the other on one stream, and "
        "our client 60 more to check and lay out a record; the Directory's own client, which is synchronous, pushed "
        "5,900 a second to a store in memory"
    ),
    "attach/detach cycles": (
        "about 105 µs of Python a cycle for two calls, an actor's two turns and a stream that opens and ends, "
        "the client's part included"
    ),
    "deliveries to one process with 20 subscribers, 100 B": (
        "20 connections read in Python at our end and theirs, so both ends of the comparison are bound by the "
        "subscribers' process; between 1.75 and 2.97 x from run to run"
    ),
    "one append of 100 B at a time, on disk, SDK": (
        "0.48 ms in the quiet moments of a trace: 0.13 in the client and on both ways through the socket, 0.12 in the "
        "node before it is queued and after it is stored, 0.05 to wake the writer's thread and then the event loop, "
        "0.18 for SQLite's commit, 0.11 of which is fdatasync; what Python of ours runs takes 0.05 of it all when it "
        "runs without a pause, the rest is waking two processes and two threads after each wait; the peer does all "
        "of it in one C thread, which waits for nothing but its own fdatasync of 0.14"
    ),
    "one append of 100 B at a time, on disk": "as through the SDK; the goal is what the peer did elsewhere",
    "append to subscriber in another process, on disk, p50, SDK": (
        "as for one append: three Python event loops one after the other, and SQLite's commit on a thread among them, "
        "against a server in Go with a Python client at both ends; the entry leaves for a subscriber who is alone "
        "before anything else is done, even before the append is answered"
    ),
    "append to subscriber in another process, ack=memory, p50, SDK": (
        "the node decides on the entry and gives it to its log and its feed in Python, where the peer forwards "
        "in Go and keeps nothing; an empty call there and back takes 0.10 ms already, and the entry's storing is put "
        "off until it has left"
    ),
    "append of batches of 1,000 x 100 B, 32 in flight": (
        "all of it is processor time of ours: each of a batch's payloads is looked at for its type, its length "
        "noted in a directory and summed, where the peer packs them without a look"
    ),
    "puts of 100 B under 1,000 keys, 64 in flight": "0.796 and 0.813 in two runs",
    "read back of 64 KiB chunks": (
        "pages of about 0.7 MB are asked for one after the other, 0.44 s for 377 of them, and nothing is read ahead; "
        "0.24 s of it is processor time, most of that nats-py's; the peer's consumer is sent everything at once"
    ),
    "read back of batches of 1,000 x 100 B": (
        "0.33 of 0.37 s for a million entries is processor time, half of that for cutting them out and giving each "
        "its position and tag"
    ),
}


def cause_of(figure: Figure) -> str:
    """The cause of an unreached goal, or an empty string."""
    return CAUSES.get(figure["name"], "") if figure.get("reached") is False else ""
