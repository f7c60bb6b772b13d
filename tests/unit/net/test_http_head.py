"""What says where a request ends and what it names, in isolation from twisted.web's own checks."""

import pytest

from dqtw.core.model.errors import BadRequest, Framing, NotFound, TooLarge
from dqtw.net.http.head import check_framing, check_header_line, check_host, is_folded, origin_form, path_segments


@pytest.mark.parametrize(
    ("version", "lengths", "codings"),
    [
        (b"HTTP/1.1", [b"3"], [b"chunked"]),
        (b"HTTP/1.1", [b"3", b"3"], []),
        (b"HTTP/1.1", [b"+3"], []),
        (b"HTTP/1.1", [b""], []),
        (b"HTTP/1.1", [], [b"identity"]),
        (b"HTTP/1.1", [], [b"chunked", b"chunked"]),
        (b"HTTP/1.0", [], [b"chunked"]),
    ],
)
def test_an_end_that_can_be_read_in_two_ways_is_refused(
    version: bytes, lengths: list[bytes], codings: list[bytes]
) -> None:
    """No proxy in front and this server can disagree on where a request ends."""
    with pytest.raises(Framing):
        check_framing(version, lengths, codings)


def test_an_end_that_is_clear_is_taken() -> None:
    """A length, a chunked body, or nothing."""
    check_framing(b"HTTP/1.0", [b"3"], [])
    check_framing(b"HTTP/1.1", [], [b"Chunked"])
    check_framing(b"HTTP/1.1", [], [])


def test_a_length_of_many_digits_is_too_large() -> None:
    """However it is spelled."""
    with pytest.raises(TooLarge):
        check_header_line(b"content-LENGTH:\t" + b"1" * 19)
    check_header_line(b"Content-Length: " + b"1" * 18)


def test_a_folded_line_is_seen() -> None:
    """By its first character."""
    assert [is_folded(line) for line in (b" a", b"\ta", b"a", b"")] == [True, True, False, False]


def test_a_host_is_one_and_looks_like_one() -> None:
    """HTTP/1.0 may do without."""
    check_host(b"HTTP/1.0", [])
    check_host(b"HTTP/1.1", [b"[::1]:80"])
    for hosts in ([], [b"a", b"a"], [b"a/b"], [b"a@b"]):
        with pytest.raises(Framing):
            check_host(b"HTTP/1.1", hosts)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a?b", b"/a?b"),
        (b"http://h/a?b", b"/a?b"),
        (b"HTTPS://h:1", b"/"),
        (b"http://h?b", b"/?b"),
        (b"*", b"*"),
    ],
)
def test_a_target_is_brought_to_its_path(target: bytes, path: bytes) -> None:
    """Whether the client thinks it speaks to a proxy or not."""
    assert origin_form(target) == path


@pytest.mark.parametrize("target", [b"a", b"/a#b", b"http://u@h/", b"http:///a", b"/\x80", b"h:80", b"**"])
def test_another_target_is_refused(target: bytes) -> None:
    """What names nothing here."""
    with pytest.raises(Framing):
        origin_form(target)


def test_a_path_is_cut_into_decoded_segments() -> None:
    """Each on its own."""
    assert path_segments(b"/a%20b/c") == [b"a b", b"c"]
    for path in (b"/a%2Fb", b"/%ff"):
        with pytest.raises(BadRequest):
            path_segments(path)
    with pytest.raises(NotFound):
        path_segments(b"//a")
