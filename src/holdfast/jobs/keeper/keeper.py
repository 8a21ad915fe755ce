"""The keeper: one loop that wires the command, its output, its input and the node together."""

from __future__ import annotations

import os
import selectors
import signal
import sys
from collections.abc import Callable

from ...clock import Clock, RealClock
from ...errors import HoldfastError
from ...rpc.events import RequestReceived
from ...rpc.selecting import SelectorConnection
from ...streams.sender import OutputSender
from .certificate import Certificate
from .command import Command
from .ending import Ending
from .input import Input
from .input_queue import InputQueue
from .link import Link
from .output import Output
from .records import BirthReceipt, FinalState, write_birth, write_final
from .service import Service
from .spill import SpillBuffer
from .watch import READ, Watch

LEAVE_S = 1.0
"""How long the last answer may take to leave; and, for a keeper told to end, how long a connected node has to
take the rest before it goes to disk."""
LOOK_AROUND_S = 60.0
"""A keeper without a node looks this often whether it can still be found."""
FAULTS_MAX = 100
"""Mistakes of ours that are survived; more of them mean that surviving does not help."""
_SIGNALS_BYTES = 512


class Keeper:
    """Owns one running command until the node has all of it, or nobody came for it."""

    def __init__(
        self,
        certificate: Certificate,
        command: Command,
        receipt: BirthReceipt,
        selector: selectors.BaseSelector,
        link: Link,
        *,
        log: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self.certificate = certificate
        self.command = command
        self.receipt = receipt
        self._selector = selector
        self._clock = clock or RealClock()
        self._log = log
        self._watch = Watch(selector)
        self.buffer = SpillBuffer(
            certificate.spill_dir,
            ring_bytes=certificate.ring_bytes,
            spill_bytes_max=certificate.spill_bytes_max,
            segment_bytes=certificate.spill_segment_bytes,
            drop_oldest=certificate.on_full == "drop-oldest",
            on_trouble=log,
        )
        self.sender = OutputSender(self.buffer, window_bytes_max=certificate.ring_bytes)
        self.output = Output(command, self.sender, self.buffer, self._watch)
        self._service = Service(self)
        queue = InputQueue(certificate.input_items_max, certificate.input_bytes_max, certificate.input_hold_s)
        self.input = Input(command, queue, self._watch, self._service.input_done)
        self.ending = Ending(command, self._clock.wall)
        self._link = link
        self._alone_since = self._look_at = self._clock.now()
        self._leave_at: float | None = None
        self._released = False
        self._told_to_end = False
        self._signals_fd = self._catch_signals()
        link.host = self

    def run(self) -> None:
        """Until it is over; then the process may go."""
        self._log(f"keeping pid {self.command.pid}")
        faults = 0
        while not self._over():
            try:
                self._turn()
            except Exception as error:
                faults += 1
                if faults > FAULTS_MAX:
                    raise
                self._survive(error)
        self._go()

    # the node

    def node_arrived(self) -> None:
        """Its output starts when it asks for it."""
        self.disconnect_output()

    def node_left(self) -> None:
        """Keep on without it."""
        self.disconnect_output()
        self._alone_since = self._look_at = self._clock.now()
        if self.buffer.give_up_unreadable():
            self._log("spilled output could not be read and is lost; the node will be told of the gap")

    def request_received(self, link: SelectorConnection, request: RequestReceived) -> None:
        """Answer it."""
        self._service.handle(link, request, self._clock.now())

    def disconnect_output(self) -> None:
        """Send output to nobody; what was not acknowledged is kept."""
        stream_id = self.sender.stream_id
        self.sender.disconnect()
        if stream_id is not None and self._link.node is not None:
            self._link.node.core.broker.remove(stream_id)

    def release(self, now: float) -> None:
        """The node has everything: leave as soon as it knows, and leave nothing behind."""
        self._released = True
        self._leave_at = now + LEAVE_S

    # the loop

    def _turn(self) -> None:
        """What the selector has, what is due, whether the command ended, then a bounded bit of output."""
        for key, mask in self._selector.select(self._timeout_s()):
            key.data(mask)
        now = self._clock.now()
        self._handle_timers(now)
        read_bytes = self.output.turn(now)
        if self.output.ended and not self.sender.ended:
            self.sender.finish()
        self._look_for_the_end(now)
        self.output.resume(now)
        node = self._link.node
        if node is not None:
            if self.sender.stream_id is not None and (read_bytes or self.sender.ended):
                node.core.broker.ready(self.sender.stream_id)
            if self._released:
                node.close()
            node.flush()

    def _timeout_s(self) -> float | None:
        deadlines = [
            deadline
            for deadline in (
                self.output.next_deadline(),
                self.input.queue.next_deadline(),
                self.ending.next_deadline(),
                self._service.next_deadline(),
                self._link.next_deadline(),
                self._leaving_at(),
            )
            if deadline is not None
        ]
        if self._link.node is None:
            deadlines.append(self._look_at)
        return max(0.0, min(deadlines) - self._clock.now()) if deadlines else None

    def _survive(self, error: Exception) -> None:
        """Write down a mistake of ours and begin anew with the node; the command does not notice."""
        self._log("fault, going on")
        sys.excepthook(type(error), error, error.__traceback__)
        if self._link.node is not None:
            self._link.node.abort()

    def _handle_timers(self, now: float) -> None:
        self._link.handle_timer()
        self.output.handle_timer(now)
        self.ending.handle_timer(now)
        self.input.queue.handle_timer(now)
        self.input.pump()
        self._service.handle_timer(now)
        if self._link.node is None and now >= self._look_at:
            self._look_at = now + LOOK_AROUND_S
            self._stay_reachable()

    def _stay_reachable(self) -> None:
        """Listen again if the socket was taken away, as a logout does with all of /run/user/UID."""
        if os.path.exists(self._link.path) or not self._awaited():
            return
        try:
            self._link.renew()
            write_birth(self.certificate.runtime_dir, self.certificate.job, self.receipt)
        except (HoldfastError, OSError) as error:
            self._log(f"the socket was taken away, and cannot be made anew yet: {error}")
        else:
            self._log("the socket was taken away, and made anew")

    # the end

    def _look_for_the_end(self, now: float) -> None:
        if self.ending.record is not None or not self.ending.look(output_held=self.output.held):
            return
        record = self.ending.record
        assert record is not None
        self._log(f"the command ended: code {record.exit_code}, signal {record.exit_signal}, {record.reason}")
        self._alone_since = now
        self.input.close()
        self.output.drain(now)
        if self._link.node is not None:
            self._link.node.core.emit(0, "exited", record.to_wire())

    def _leaving_at(self) -> float | None:
        """When to go; None while there is no reason to."""
        if self._leave_at is not None:
            return self._leave_at
        if self.ending.record is None or not self.output.ended or (self._link.node and not self._told_to_end):
            return None
        if self._told_to_end:
            return self._alone_since + (LEAVE_S if self._link.node else 0.0)
        return self._alone_since + (self.certificate.retention_s if self._awaited() else 0.0)

    def _awaited(self) -> bool:
        """Whether a node may still come: one whose state was taken away does not."""
        return os.path.isdir(self.certificate.spill_dir)

    def _over(self) -> bool:
        leaving_at = self._leaving_at()
        if leaving_at is None:
            return False
        return (self._released and self._link.node is None) or self._clock.now() >= leaving_at

    def _go(self) -> None:
        if not self._released:
            self._write_down()
        self._link.close()
        self.buffer.close()
        self._log("released" if self._released else "left its output on disk")

    def _write_down(self) -> None:
        """Nobody came: what is known goes to disk, for a node that comes later."""
        complete = self.buffer.flush()
        record = self.ending.record
        final = FinalState(
            job=self.certificate.job,
            exit=None if record is None else record.to_wire(),
            head=self.buffer.head,
            total=self.buffer.total,
            complete=complete,
        )
        try:
            write_final(self.certificate.runtime_dir, final)
        except OSError as error:
            self._log(f"the final state could not be written: {error}")

    @property
    def released(self) -> bool:
        """Whether the node has everything, so that nothing need be left behind."""
        return self._released

    # signals

    def _catch_signals(self) -> int:
        """Have SIGCHLD and SIGTERM wake the loop; the descriptor that they come through."""
        read_fd, write_fd = os.pipe()
        for fd in (read_fd, write_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, _only_wake)
        self._watch.set(read_fd, READ, self._signalled)
        return read_fd

    def _signalled(self) -> None:
        if signal.SIGTERM in os.read(self._signals_fd, _SIGNALS_BYTES) and not self._told_to_end:
            self._log("told to end")
            self._told_to_end = True
            now = self._clock.now()
            self.output.turn(now)
            if self.command.tty:
                self.input.close()
                self.output.stop()
            self.ending.terminate(self.certificate.grace_s, now)


def _only_wake(number: int, frame: object) -> None:
    """The wakeup descriptor says all there is to say."""
