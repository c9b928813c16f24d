from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp.errors import UsageError
from midas_mp.transport.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "127.0.0.1", 3000),
        ("  ", "127.0.0.1", 3000),
        ("pc7", "pc7", 3000),
        ("pc7.lab.example:4000", "pc7.lab.example", 4000),
        ("my_host-1:1", "my_host-1", 1),
        ("10.0.0.7:65535", "10.0.0.7", 65_535),
        (":3000", "", 3000),
        (":0", "", 0),
        ("[::1]:4000", "::1", 4000),
        ("[fe80::1]", "fe80::1", 3000),
        ("::1", "::1", 3000),
        ("fd00::2", "fd00::2", 3000),
        ("::", "::", 3000),
    ],
)
def test_every_form_is_understood(text, host, port):
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("3000", "write ':3000'"),
        ("pc7:", "'' in 'pc7:' is not a port number"),
        ("pc7:http", "'http' in 'pc7:http' is not a port number"),
        ("pc7:-1", "not a port number"),
        ("pc7:65536", "over 65535"),
        ("pc7:999999", "not a port number"),
        ("pc7:٣", "not a port number"),
        ("pc7:+5", "not a port number"),
        (":", "not a port number"),
        ("[::1", "is not an address"),
        ("[::1]4000", "is not an address"),
        ("[pc7]:4000", "is not an address"),
        ("[:::]:4000", "is not an IPv6 address"),
        ("a:b:c", "is not an address"),
        ("http://pc7:3000", "is not an address"),
        ("//pc7", "is not an address"),
        ("two words:3000", "is not an address"),
        ("user@pc7:3000", "is not an address"),
    ],
)
def test_what_is_no_address_is_refused_in_one_sentence(text, fact):
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert fact in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_gives_an_address_or_a_usage_error(text):
    try:
        address = Address.parse(text)
    except UsageError:
        return
    assert Address.parse(str(address)) == address
    assert 0 <= address.port <= 65_535


@given(
    st.one_of(
        st.just(""),
        st.ip_addresses().map(str),
        st.from_regex(r"\A[a-z][a-z0-9.-]{0,20}\Z"),
    ),
    st.integers(0, 65_535),
)
def test_what_is_printed_can_be_typed(host, port):
    address = Address(host, port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_only_addresses_of_this_machine_alone_are_loopback(host, is_loopback):
    assert Address(host).is_loopback is is_loopback
