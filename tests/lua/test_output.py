import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.lua.output import OutputParser, Printed, Progressed

integers = st.integers(0, 2**53)
jobs = st.text("abc-@+._0", min_size=1, max_size=20)
records = st.lists(
    st.builds(Printed, jobs, integers, integers, st.binary(max_size=50))
    | st.builds(
        Progressed, jobs, integers, integers, st.integers(0, 10**6).map(lambda n: n / 10**6)
    ),
)


def written(record):
    start = f"{record.job} {record.round} {record.index}"
    if isinstance(record, Printed):
        return f"P {start} {len(record.text)}\n".encode() + record.text
    return f"G {start} {record.fraction:.6f}\n".encode()


@given(records, st.data())
def test_records_come_out_however_the_stream_is_cut(expected, data):
    stream = b"".join(map(written, expected))
    parser = OutputParser()
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += parser.feed(stream[:size])
        stream = stream[size:]
    assert found == expected
    assert parser.bytes_consumed == sum(len(written(record)) for record in expected)


@given(st.binary(min_size=1, max_size=400))
def test_garbage_is_records_or_a_protocol_error(data):
    try:
        OutputParser().feed(data)
    except ProtocolError as error:
        assert "output pipe" in str(error) or "limit" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"X j 0 0 1",
        b"P j 0 0",
        b"P j 0 0 -1",
        b"P j 0 0 1 1",
        b"P  0 0 1",
        b"P j 0 0 1e3",
        b"P a/b 0 0 1",
        b"G j 0 0 1.000001",
        b"G j 0 0 2.0",
        b"G j 0 0 nan",
        b"G j 0 0 0.5 ",
        b"P " + b"j" * 129 + b" 0 0 1",
        b"P j 99999999999999999 0 1",
    ],
)
def test_what_is_no_record_is_refused_for_good(line):
    parser = OutputParser()
    with pytest.raises(ProtocolError):
        parser.feed(line + b"\n")
    with pytest.raises(ProtocolError):
        parser.feed(b"P j 0 0 0\n")


def test_a_claim_over_the_limit_is_refused_before_anything_is_kept():
    with pytest.raises(ProtocolError, match="over the limit"):
        OutputParser().feed(b"P j 0 0 %d\n" % (limits.PRINT_BYTES_MAX + 1))


def test_a_header_that_never_ends_is_refused():
    parser = OutputParser()
    for _ in range(255):
        assert parser.feed(b"P") == []
    with pytest.raises(ProtocolError):
        parser.feed(b"P")


def test_the_largest_text_passes():
    text = b"x" * limits.PRINT_BYTES_MAX
    found = OutputParser().feed(b"P j 1 2 %d\n" % len(text) + text + b"G j 1 2 0.5\n")
    assert found == [Printed("j", 1, 2, text), Progressed("j", 1, 2, 0.5)]
