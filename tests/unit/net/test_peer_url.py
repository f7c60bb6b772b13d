"""The URLs at which peers are asked."""

import pytest
from hyperlink import EncodedURL

from dqtw.net.peer_url import ready_url


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("http://127.0.0.1:8081/peer/v1/delta", "http://127.0.0.1:8081/peer/v1/delta"),
        ("http://[::1]:8081/peer/v1/delta", "http://[::1]:8081/peer/v1/delta"),
        ("http://b.internal/peer/v1/delta", "http://b.internal/peer/v1/delta"),
        ("http://bücher.example/peer/v1/delta", "http://xn--bcher-kva.example/peer/v1/delta"),
    ],
)
def test_a_url_goes_over_the_wire_in_ascii(text: str, uri: str) -> None:
    """Numbers of either kind, names, and names of any script."""
    url = ready_url(text)
    assert isinstance(url, EncodedURL)
    assert url.to_uri().to_text() == uri


def test_a_url_is_made_once() -> None:
    assert ready_url("http://b:1/x") is ready_url("http://b:1/x")


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="port"):
        ready_url("http://b:one/x")
