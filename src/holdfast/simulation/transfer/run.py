"""``holdfast sim stream``: one stream from a generator, through a delivery pipe, to a verifier."""

from __future__ import annotations

from collections.abc import Callable

from ...limits import LIMITS
from ...streams import Broker, Chunk, End, Failed, Gap, OutputSender, Reader, ReaderCancelled, RingBuffer, Writer
from ..pattern import Generator, Pattern, Verifier
from ..pipe import DeliveryPipe, ReaderBridge, WriterBridge
from ..world import RealWorld, Timer, World
from .options import MANAGER, VIRTUAL, StreamOptions, check_options
from .report import Report

_STALL_CHECK_S = 1.0
_IDLE_S_MAX = 300.0
"""A transfer that got nothing across for this long will never end; it is reported as failed."""
_RECONNECT_S_MIN = 0.001
_READ_BYTES = LIMITS.packet_bytes_max
_SLOW_READ_S = 0.01
"""A slow reader reads this much of its rate at a time."""

Log = Callable[[str], None]
Progress = Callable[[int], None]


def run_stream(
    options: StreamOptions,
    *,
    log: Log | None = None,
    progress: Progress | None = None,
    samples: list[tuple[float, int]] | None = None,
) -> Report:
    """Run one transfer to its end and report on it; blocks, for as long as that takes on a real clock.

    ``log`` is told what happens, ``progress`` the bytes received; ``samples`` collects the bytes in flight
    over time.  Raises UsageError, naming the option, if ``options`` make no sense.
    """
    transfer = Transfer(check_options(options), log, progress)
    if samples is not None:
        transfer.pipe.data.on_change = lambda now, size: samples.append((now, size))
    return transfer.run()


class Transfer:
    """One transfer in its world: both ends, and the pipe between them."""

    def __init__(self, options: StreamOptions, log: Log | None = None, progress: Progress | None = None) -> None:
        self.options = options
        self.world = World(options.seed) if options.clock == VIRTUAL else RealWorld(options.seed)
        self.pipe = DeliveryPipe(self.world, options.faults)
        pattern = Pattern(options.seed)
        self.generator = Generator(pattern, options.size)
        self.verifier = Verifier(pattern)
        self.sender = self._new_sender()
        self.disconnects = 0
        self.stalls = 0
        self._log = log
        self._progress = progress
        self._stream_id = 0
        self._reader = Reader(0, window_bytes=options.reader_window_bytes)
        self._half_open_left = options.half_open and not options.disconnect_every_s
        self._silent_at: float | None = None
        self._read_at = 0.0
        self._read_timer: Timer | None = None
        self._retransmit_at: float | None = None
        self._last_received_at = 0.0
        self._ended = False
        self._error = ""

    # the story

    def run(self) -> Report:
        """Run the world until the stream has ended, or cannot."""
        began = self._last_received_at = self.world.now()
        self._connect()
        self.world.after(_STALL_CHECK_S, self._look_for_stall)
        if not self.world.run(lambda: self._ended):
            self._error = self._error or "nothing moves any more"
        return self._report(self._last_received_at - began)

    def _connect(self) -> None:
        """A new connection: new brokers; both ends go on where the reader is."""
        now = self.world.now()
        self._stream_id += 1
        self.pipe.heal()
        wanted = self._reader.resume(self._stream_id)
        window = self._reader.window
        self._reading, self._writing = Broker(), Broker()
        self._reader_bridge = ReaderBridge(self.world, self._reading, self.pipe, self._on_data)
        self._writer_bridge = WriterBridge(self.world, self._writing, self.pipe, self._on_ack)
        self._reading.add_reader(self._reader)
        # A job's output is prepared, corked, and then started; a plain writer knows the window from the start.
        corked = self.options.mode == MANAGER
        start = self.sender.connect(self._stream_id, 0 if corked else window, wanted, now)
        self._say(f"connected stream {self._stream_id} from offset {start}")
        if corked:
            self.sender.start(window, now)
        self._writing.add_sender(self.sender)
        self._fill()
        self._flush_writer()
        if self.options.disconnect_every_s:
            self.world.after(self.options.disconnect_every_s, self._break, self._stream_id)

    # the writer's side

    def _on_ack(self) -> None:
        self._fill()
        self._flush_writer()

    def _fill(self) -> None:
        """Write until the ring is full."""
        generator, sender = self.generator, self.sender
        while not generator.finished:
            taken = sender.write(generator.peek())
            if not taken:
                break
            generator.take(taken)
        if generator.finished and not sender.ended:
            sender.finish()
        self._writing.ready(self._stream_id)

    def _flush_writer(self) -> None:
        self._writer_bridge.flush()
        deadline = self._writing.next_deadline()
        if deadline is not None and (self._retransmit_at is None or deadline < self._retransmit_at):
            self._retransmit_at = deadline
            self.world.at(deadline, self._retransmit)
        for event in self.sender.events():
            self._say(f"sender: {event}")
            if isinstance(event, ReaderCancelled):
                self._fail(f"the reader cancelled: {event.error}")

    def _retransmit(self) -> None:
        self._retransmit_at = None
        self._writing.handle_timer(self.world.now())
        self._flush_writer()

    # the reader's side

    def _on_data(self) -> None:
        if self.options.slow_reader:
            self._read_slowly()
        else:
            self._read_all()
        self._reader_bridge.flush()

    def _read_all(self) -> None:
        reader = self._reader
        while (item := reader.read(_READ_BYTES)) is not None:
            self._take(item)
        self._reading.ready(self._stream_id)

    def _read_slowly(self) -> None:
        """Read a little, then wait for as long as that should have taken."""
        now, rate = self.world.now(), self.options.slow_reader
        if self._read_timer is not None or self._ended:
            return
        piece = max(1, min(_READ_BYTES, int(rate * _SLOW_READ_S)))
        item = self._reader.read(piece)
        if item is None:
            return
        self._take(item)
        self._reading.ready(self._stream_id)
        size = len(item.data) if isinstance(item, Chunk) else 0
        self._read_at = max(now - _SLOW_READ_S, self._read_at) + size / rate
        self._read_timer = self.world.at(max(now, self._read_at), self._read_on)

    def _read_on(self) -> None:
        self._read_timer = None
        self._on_data()

    def _take(self, item: Chunk | Gap | End | Failed) -> None:
        now = self.world.now()
        if isinstance(item, Chunk):
            self.verifier.check(item.offset, item.data)
            self._last_received_at = now
            if self._progress is not None:
                self._progress(self.verifier.received)
            if self._half_open_left and self.verifier.received * 2 >= self.options.size:
                self._half_open_left = False
                self._go_silent()
        elif isinstance(item, Gap):
            self.verifier.skip(item.offset, item.length)
        else:
            self._say(f"reader: {item}")
            self._ended = True

    # faults

    def _break(self, stream_id: int) -> None:
        """The link breaks now, or falls silent if half-open links were asked for."""
        if stream_id != self._stream_id or self._ended:
            return
        if self.options.half_open:
            self._go_silent()
        else:
            self._lose_connection()

    def _go_silent(self) -> None:
        self._say("the link is half open: acknowledgements vanish")
        self._silent_at = self.world.now()
        self.pipe.acks.silent = True

    def _lose_connection(self) -> None:
        self.disconnects += 1
        self._silent_at = None
        self._say(f"disconnected at {self.world.now():.3f} s, {self.sender.outstanding} bytes unacknowledged")
        self.pipe.cut()
        self.sender.disconnect()
        self._writing = Broker()
        self.world.after(max(self.options.rtt_s, _RECONNECT_S_MIN), self._connect)

    def _look_for_stall(self) -> None:
        """A sender that gets no acknowledgement for the stall limit gives its connection up.

        One that waits for its reader's window is owed none: then it is the link's pings that stay unanswered.
        """
        now = self.world.now()
        since = self.sender.unacknowledged_since if self._silent_at is None else self._silent_at
        if since is not None and now - since >= LIMITS.stall_s:
            self.stalls += 1
            self._say(f"stalled: no acknowledgement for {LIMITS.stall_s:g} s")
            self._lose_connection()
        if now - self._last_received_at > _IDLE_S_MAX and not self.options.slow_reader:
            self._fail(f"nothing arrived for {_IDLE_S_MAX:g} s, at offset {self.verifier.offset}")
        self.world.after(_STALL_CHECK_S, self._look_for_stall)

    # the outcome

    def _new_sender(self) -> OutputSender:
        """In both modes the source waits while nobody is connected: what is verified is that nothing is lost."""
        options = self.options
        if options.mode == MANAGER:
            return OutputSender(
                RingBuffer(options.ring_bytes),
                window_bytes=LIMITS.window_bytes if options.window is None else options.window,
                packet_bytes=options.packet_bytes,
                autotune=options.window is None,
                lossy=options.lossy,
                overwrite_detached=False,
            )
        writer = Writer(
            0,
            ring_bytes=options.ring_bytes,
            window_bytes=LIMITS.window_bytes if options.window is None else options.window,
            packet_bytes=options.packet_bytes,
            autotune=options.window is None,
            lossy=options.lossy,
        )
        writer.disconnect()
        return writer

    def _report(self, duration_s: float) -> Report:
        verifier, options, pipe = self.verifier, self.options, self.pipe
        complete = self._ended and verifier.offset == options.size and not verifier.gap_bytes
        throughput = verifier.received / duration_s if duration_s > 0 else None
        limit = options.limit()
        return Report(
            ok=complete and not verifier.mismatches and not self._error,
            mismatches=verifier.mismatches,
            first_mismatch=verifier.first_mismatch,
            received=verifier.received,
            duration_s=duration_s,
            throughput_mb_s=None if throughput is None else throughput / 1e6,
            data_packets=pipe.data.sent,
            ack_packets=pipe.acks.sent,
            out_of_order=pipe.out_of_order,
            retransmits=self.sender.retransmits,
            pipe_high_water=pipe.data.high_water_bytes,
            limit_share=None if limit is None or throughput is None else throughput / limit[1],
            limit=None if limit is None else limit[0],
            limit_mb_s=None if limit is None else limit[1] / 1e6,
            gap_bytes=verifier.gap_bytes,
            disconnects=self.disconnects,
            stalls=self.stalls,
            mode=options.mode,
            clock=options.clock,
            seed=options.seed,
            error=self._error,
        )

    def _fail(self, error: str) -> None:
        self._error = self._error or error
        self._ended = True

    def _say(self, text: str) -> None:
        if self._log is not None:
            self._log(f"{self.world.now():10.6f}  {text}")
