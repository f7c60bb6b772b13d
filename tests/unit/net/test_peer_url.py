"""The URLs at which peers are asked."""

import pytest
from hyperlink import EncodedURL

from dqtw.net.peer.url import check_peer_url, ready_url


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("http://127.0.0.1:8081/peer/v1/delta", "http://127.0.0.1:8081/peer/v1/delta"),
        ("http://[::1]:8081/peer/v1/delta", "http://[::1]:8081/peer/v1/delta"),
        ("http://b.internal/peer/v1/delta", "http://b.internal/peer/v1/delta"),
        ("http://[fe80::1%25eth0]:8081/peer/v1/delta", "http://[fe80::1%25eth0]:8081/peer/v1/delta"),
        ("http://my_host:8081/peer/v1/delta", "http://my_host:8081/peer/v1/delta"),
        ("http://bücher.example/peer/v1/delta", "http://xn--bcher-kva.example/peer/v1/delta"),
    ],
)
def test_a_url_goes_over_the_wire_in_ascii(text: str, uri: str) -> None:
    """Numbers of either kind, names, and names of any script."""
    url = ready_url(text)
    assert isinstance(url, EncodedURL)
    assert url.to_uri().to_text() == uri


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ""),
        ("b:8081", ""),
        ("ftp://b", ""),
        ("http://", ""),
        ("http:///x", ""),
        ("http://b c", ""),
        ("http://b\n", ""),
        ("http://user:secret@b:8081", "user name"),
        ("http://@b:8081", "user name"),
        ("http://b:8081/path", "must end behind host and port"),
        ("http://b:8081?x=1", "must end behind host and port"),
        ("http://b:8081?", "must end behind host and port"),
        ("http://b:8081/#x", "must end behind host and port"),
        ("http://b:", "from 1 to 65535"),
        ("http://b:0", "from 1 to 65535"),
        ("http://b:65536", "range"),
        ("http://b:http", "Port"),
        ("http://b..c", "its host"),
        ("http://.b", "its host"),
        ("http://*", "its host"),
        ("http://b%41", "its host"),
        ("http://b\\c", "its host"),
        (f"http://{'b' * 64}", "its host"),
        (f"http://{'b.' * 127}b", "its host"),
        ("http://☃", "not allowed"),
        ("http://1.2.3", "4 octets"),
        ("http://1.2.3.400", "not permitted"),
        ("http://[1.2.3.4]", "IPv4"),
        ("http://[fe80::1%eth0]", "%25eth0"),
        ("http://[fe80::1%25]", "%25eth0"),
        ("http://[b]", "b"),
        ("https://my_host", "TLS can't check such a name"),
        ("https://-b", "TLS can't check such a name"),
    ],
)
def test_a_url_that_could_not_be_connected_to_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_peer_url(text)
    assert why in str(refused.value)


def test_a_url_is_made_once() -> None:
    assert ready_url("http://b:1/x") is ready_url("http://b:1/x")


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="port"):
        ready_url("http://b:one/x")
