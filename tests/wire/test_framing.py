from __future__ import annotations

import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.wire.framing import (
    PREFIX,
    Frame,
    FrameDecoder,
    decode_header,
    encode,
    encode_all,
    head,
    payloads,
    size_bytes,
)
from midas_mp.wire.local import BlobRef
from midas_mp.wire.messages import BeginJob, Call, Goodbye, JobSpec, RecallTasks

buffers = st.lists(st.binary(max_size=300), max_size=6)
channels = st.integers(0, 2**32 - 1)


def stream_of(frames: list[Frame]) -> bytes:
    return b"".join(encode_all(frames))


def plain(frames: list[Frame]) -> list[tuple[int, object, list[bytes]]]:
    return [(f.channel, f.message, [bytes(b) for b in f.buffers]) for f in frames]


def claim(sizes: list[int], message: object = None) -> bytes:
    header = msgspec.msgpack.encode([message or Goodbye("x"), sizes])
    return PREFIX.pack(len(header), 0) + header


@st.composite
def some_frames(draw, any_message):
    parts = st.tuples(channels, any_message, buffers)
    return [Frame(*part) for part in draw(st.lists(parts, min_size=1, max_size=5))]


@given(data=st.data())
def test_any_split_of_the_stream_gives_the_same_frames(data, any_message):
    frames = data.draw(some_frames(any_message))
    stream = stream_of(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    decoder = FrameDecoder()
    got: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        piece = data.draw(st.sampled_from([bytes, bytearray, memoryview]))(stream[start:end])
        got += decoder.feed(piece)
    assert plain(got) == plain(frames)
    assert decoder.is_between_frames


@given(data=st.data())
@settings(max_examples=30)
def test_one_byte_at_a_time_gives_the_same_frames(data, any_message):
    frames = data.draw(some_frames(any_message))
    decoder = FrameDecoder()
    got = [frame for byte in stream_of(frames) for frame in decoder.feed(bytes([byte]))]
    assert plain(got) == plain(frames)


def feed_in_pieces(stream: bytes, size: int) -> None:
    """Nothing but ProtocolError may come out, and after it nothing else ever again."""
    decoder = FrameDecoder()
    for start in range(0, len(stream), size):
        try:
            frames = decoder.feed(stream[start : start + size])
        except ProtocolError:
            with pytest.raises(ProtocolError):
                decoder.feed(b"more")
            return
        for frame in frames:
            encode(frame)  # whatever came in could be sent on


@given(data=st.data())
@settings(max_examples=200)
def test_a_damaged_stream_gives_frames_or_a_protocol_error(data, any_message):
    stream = bytearray(stream_of(data.draw(some_frames(any_message))))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(0, len(stream) - 1)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "set", "repeat"])):
            case "flip" if stream:
                stream[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del stream[at : at + data.draw(st.integers(1, 20))]
            case "insert":
                stream[at:at] = data.draw(st.binary(max_size=20))
            case "set" if stream:
                stream[at] = data.draw(st.sampled_from([0x00, 0x7F, 0x80, 0xC1, 0xDD, 0xDF, 0xFF]))
            case _:
                stream[at:at] = stream[: data.draw(st.integers(0, 40))]
    feed_in_pieces(bytes(stream), data.draw(st.integers(1, 100)))


@given(st.binary(max_size=200), st.integers(1, 50))
@settings(max_examples=300)
def test_random_bytes_give_frames_or_a_protocol_error(noise, size):
    feed_in_pieces(noise, size)


@given(st.binary(max_size=200))
@settings(max_examples=500)
def test_random_headers_give_a_protocol_error_or_a_message(noise):
    feed_in_pieces(PREFIX.pack(len(noise), 0) + noise, 64)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x91" * 60_000,
        b"\x92\x93\x04\xa1x" + b"\x91" * 60_000,
        b"\x92\x93\x04\xa1x" + b"\x81\x00" * 30_000,
        b"\x92\xdd\xff\xff\xff\xff\x04",
        b"\x92\x92\x04\xdb\xff\xff\xff\xff\x90",
        b"\x92\x92\x04\xa0\xdd\xff\xff\xff\xff",
        b"\x92\x92\x04\xa2\xff\xfe\x90",
        b"\x92\x92\x04\xa3\xed\xa0\x80\x90",
        b"\x92\x92\x04\xd6\xff\x00\x00\x00\x00\x90",
        b"\x92\x92\x04\xa1x\x91\xff",
        b"\x92\x92\x04\xa1x\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x92\x92\x04\xa1x\x90\x00",
        b"\xc1",
    ],
    ids=lambda header: f"{header[:8].hex()}…",
)
def test_malformed_headers_are_protocol_errors(header):
    with pytest.raises(ProtocolError, match="not a message"):
        FrameDecoder().feed(PREFIX.pack(len(header), 0) + header)


def test_a_header_over_the_limit_is_refused_before_it_is_gathered():
    with pytest.raises(ProtocolError, match="over 65536"):
        FrameDecoder().feed(PREFIX.pack(limits.HEADER_BYTES_MAX + 1, 0))
    assert FrameDecoder().feed(PREFIX.pack(limits.HEADER_BYTES_MAX, 0)) == []


def test_buffers_over_the_limit_are_refused_before_they_are_gathered():
    half = limits.PAYLOAD_BYTES_MAX // 2
    with pytest.raises(ProtocolError, match="over the limit"):
        FrameDecoder().feed(claim([half, half, 1]))
    assert FrameDecoder().feed(claim([half, half])) == []


def test_more_buffers_than_the_limit_are_refused():
    with pytest.raises(ProtocolError, match="not a message"):
        FrameDecoder().feed(claim([0] * (limits.BUFFERS_MAX + 1)))
    (frame,) = FrameDecoder().feed(claim([0] * limits.BUFFERS_MAX))
    assert list(frame.buffers) == [b""] * limits.BUFFERS_MAX


def test_memory_grows_with_what_arrives_not_with_what_is_announced():
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        decoder.feed(claim([limits.PAYLOAD_BYTES_MAX]))
        assert tracemalloc.get_traced_memory()[1] < limits.MB
        arrived = 4 * limits.MB
        for _ in range(arrived // 65_536):
            decoder.feed(bytes(65_536))
        assert tracemalloc.get_traced_memory()[1] < 2 * arrived
    finally:
        tracemalloc.stop()


def test_nothing_is_kept_after_an_error():
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        decoder.feed(claim([limits.MB, 1 << 20]))
        decoder.feed(bytes(limits.MB + 10))
        decoder.feed(bytes((1 << 20) - 10))
        with pytest.raises(ProtocolError):
            decoder.feed(b"\xff" * 8)
        assert tracemalloc.get_traced_memory()[0] < limits.MB
    finally:
        tracemalloc.stop()


def test_each_byte_of_a_large_buffer_is_copied_once():
    # The gathered buffer is handed over as it is, not copied again.
    decoder = FrameDecoder()
    decoder.feed(claim([limits.MB]))
    for _ in range(15):
        decoder.feed(bytes(65_536))
    gathered = decoder._partial
    (frame,) = decoder.feed(bytes(65_536))
    assert frame.buffers[0] is gathered


def test_a_decoder_is_between_frames_only_there():
    decoder = FrameDecoder()
    stream = stream_of([Frame(0, RecallTasks(1), [b"ab", b"c"])])
    for byte in stream[:-1]:
        decoder.feed(bytes([byte]))
        assert not decoder.is_between_frames
    decoder.feed(stream[-1:])
    assert decoder.is_between_frames


class StrictGate:
    """Knows its peer after the first frame; says no to the third."""

    header_bytes_max = 64
    payload_bytes_max = 0

    def __init__(self) -> None:
        self.seen: list[Frame] = []

    def receive(self, frame: Frame) -> None:
        self.seen.append(frame)
        self.header_bytes_max = limits.HEADER_BYTES_MAX
        self.payload_bytes_max = limits.PAYLOAD_BYTES_MAX
        if len(self.seen) > 2:
            raise ProtocolError("enough")


def test_the_gates_limits_hold_from_one_frame_to_the_next_of_one_piece():
    small, large = Frame(0, Goodbye("x")), Frame(0, Goodbye("y" * 100), [b"payload"])
    assert plain(FrameDecoder(StrictGate()).feed(stream_of([small, large]))) == plain(
        [small, large]
    )
    with pytest.raises(ProtocolError, match="over 64"):
        FrameDecoder(StrictGate()).feed(stream_of([large]))
    with pytest.raises(ProtocolError, match="limit of 0 bytes"):
        FrameDecoder(StrictGate()).feed(stream_of([Frame(0, Goodbye("x"), [b"p"])]))


def test_what_the_gate_refuses_ends_the_stream():
    frame = Frame(0, Goodbye("x"))
    decoder = FrameDecoder(StrictGate())
    assert len(decoder.feed(stream_of([frame, frame]))) == 2
    with pytest.raises(ProtocolError, match="enough"):
        decoder.feed(stream_of([frame]))
    with pytest.raises(ProtocolError, match="enough"):
        decoder.feed(b"")


def test_a_memoryview_counts_in_bytes():
    view = memoryview(bytes(16)).cast("d")
    stream = stream_of([Frame(1, Goodbye(""), [view])])
    (frame,) = FrameDecoder().feed(stream)
    assert frame.buffers[0] == bytes(16)
    assert size_bytes([view, b"ab", bytearray(3)]) == 21


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (Frame(0, Goodbye("\udc80")), "Goodbye: cannot be sent"),
        (Frame(0, BeginJob("j", JobSpec(seed=2**70))), "BeginJob: cannot be sent"),
        (Frame(2**32, Goodbye("x")), "Goodbye: cannot be sent"),
        (Frame(0, BeginJob("j", JobSpec(arg=["x" * 70_000]))), "header of .* over the limit"),
        (Frame(0, Goodbye("x"), [b""] * (limits.BUFFERS_MAX + 1)), "8193 buffers"),
        (Frame(0, Goodbye("x"), [memoryview(bytes(64 * limits.MB))] * 17), "over the limit"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(frame, complaint):
    with pytest.raises(ProtocolError, match=complaint):
        encode(frame)


def test_a_header_is_decoded_by_itself_for_whoever_reads_a_socket_by_hand():
    (piece,) = encode(Frame(3, RecallTasks(7)))
    length, channel = PREFIX.unpack_from(piece)
    assert (length, channel) == (len(piece) - PREFIX.size, 3)
    assert decode_header(piece[PREFIX.size :]).message == RecallTasks(7)
    with pytest.raises(ProtocolError, match="over the limit"):
        decode_header(claim([limits.PAYLOAD_BYTES_MAX, 1])[PREFIX.size :])


def test_each_task_of_a_batch_gets_its_own_buffers_in_order():
    calls = [Call(7, 0, 1), Call(8, 0, 0), Call(9, 0, 2)]
    assert list(payloads(calls, [b"a", b"b", b"c"])) == [
        (calls[0], [b"a"]),
        (calls[1], []),
        (calls[2], [b"b", b"c"]),
    ]


# -- shared memory -------------------------------------------------------------------------------


class Shelf:
    """A port that keeps buffers, and names them by the order in which they came."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.buffers: list[bytes] = []

    def refer(self, buffer: bytes) -> BlobRef | None:
        if len(self.buffers) == self.room:
            return None
        self.buffers.append(buffer)
        return BlobRef(len(self.buffers), 0, len(buffer))

    def resolve(self, ref: BlobRef) -> bytes:
        if not 0 < ref.pool <= len(self.buffers):
            raise ProtocolError(f"no pool {ref.pool}")
        return self.buffers[ref.pool - 1]


LARGE = bytes(limits.BLOB_BYTES_MIN)
SMALL = LARGE[1:]


@pytest.mark.parametrize("step", [1, 7, 1_000_000])
@pytest.mark.parametrize(
    "buffers",
    [[LARGE], [SMALL], [LARGE, SMALL, LARGE], [SMALL, LARGE, b""], [LARGE, LARGE], [b"", LARGE]],
    ids=["large", "small", "both", "empty last", "large only", "empty first"],
)
def test_large_buffers_stay_where_both_ends_see_them(buffers, step):
    shelf = Shelf()
    frames = [Frame(0, Goodbye("x"), buffers), Frame(1, Goodbye("y"))]
    stream = b"".join(encode_all(frames, shelf))
    assert len(stream) < sum(len(b) for b in buffers if b is not LARGE) + 200
    decoder = FrameDecoder(None, shelf)
    cut = [stream[start : start + step] for start in range(0, len(stream), step)]
    got = [frame for piece in cut for frame in decoder.feed(piece)]
    assert plain(got) == plain(frames)
    assert [b is LARGE for b in got[0].buffers] == [b is LARGE for b in buffers]


def test_memory_may_be_shared_from_some_frame_on():
    shelf = Shelf()
    stream = b"".join(encode(Frame(0, Goodbye("x"), [LARGE]), shelf))
    decoder = FrameDecoder()
    decoder.share(shelf)
    (frame,) = decoder.feed(stream)
    assert frame.buffers == [LARGE]


def test_a_header_of_no_length_is_a_protocol_error_however_it_comes():
    prefix = PREFIX.pack(0, 0)
    for cut in (0, 3):
        decoder = FrameDecoder()
        decoder.feed(prefix[:cut])
        with pytest.raises(ProtocolError, match="not a message"):
            decoder.feed(prefix[cut:])


def test_a_buffer_for_which_there_is_no_room_is_sent():
    shelf = Shelf(room=1)
    frames = [Frame(0, Goodbye("x"), [LARGE, LARGE])]
    stream = b"".join(encode_all(frames, shelf))
    assert len(stream) > len(LARGE)
    assert plain(FrameDecoder(None, shelf).feed(stream)) == plain(frames)


def test_as_many_large_buffers_as_there_can_be_fit_the_header():
    class FarAway(Shelf):
        def refer(self, buffer):
            ref = super().refer(buffer)
            return ref and BlobRef(2**32 + ref.pool, 2**40, ref.size_bytes)

    shelf = FarAway(room=limits.BUFFERS_MAX)
    pieces = encode(Frame(0, Goodbye("x"), [LARGE] * limits.BUFFERS_MAX), shelf)
    inline_count = limits.BUFFERS_MAX - limits.BLOB_REFS_MAX
    assert (len(shelf.buffers), len(pieces)) == (limits.BLOB_REFS_MAX, 1 + inline_count)


def test_a_reference_where_nothing_is_shared_is_refused():
    stream = b"".join(encode(Frame(0, Goodbye("x"), [LARGE]), Shelf()))
    with pytest.raises(ProtocolError, match="none in common"):
        FrameDecoder().feed(stream)


def test_a_reference_to_nowhere_is_refused():
    with pytest.raises(ProtocolError, match="no pool 7"):
        FrameDecoder(None, Shelf()).feed(claim([BlobRef(7, 0, 1)]))


@pytest.mark.parametrize(
    "places",
    [[BlobRef(1, 0, -1)], [BlobRef(1, -1, 1)], [[1, 2]], [[1, 2, "3"]], [BlobRef(1, 0, 2**63)]],
)
def test_a_garbled_reference_is_refused(places):
    with pytest.raises(ProtocolError, match="not a message"):
        FrameDecoder(None, Shelf()).feed(claim(places))


def test_what_is_referred_to_counts_as_payload():
    half = limits.PAYLOAD_BYTES_MAX // 2 + 1
    with pytest.raises(ProtocolError, match="over the limit"):
        FrameDecoder(None, Shelf()).feed(claim([BlobRef(1, 0, half), half]))
    with pytest.raises(ProtocolError, match="over the limit"):
        head(0, Goodbye("x"), [BlobRef(1, 0, half), half])


def test_a_frame_over_the_limit_lends_nothing(monkeypatch):
    monkeypatch.setattr(limits, "PAYLOAD_BYTES_MAX", len(LARGE))
    shelf = Shelf()
    with pytest.raises(ProtocolError, match="over the limit"):
        encode(Frame(0, Goodbye("x"), [LARGE, b"x"]), shelf)
    assert shelf.buffers == []
