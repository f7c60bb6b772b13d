"""The URLs of peers, each made once.

Treq takes a URL apart for each request, and encodes its host as names of any script are: as much work as all the rest
of sending it, and no IPv6 address gets through. Instead of a text it may be given a `hyperlink.EncodedURL`, and this is
one.
"""

from functools import lru_cache
from typing import Final, cast

from hyperlink import EncodedURL
from typing_extensions import override

kept_max: Final = 1_024  # more than members times verbs


class ReadyUrl(EncodedURL):
    """A URL as it goes over the wire: there is nothing to be encoded any more, and its text is known."""

    __slots__ = ("text",)
    text: str

    @override
    def to_uri(self) -> "ReadyUrl":
        return self

    @override
    def to_text(self, with_password: bool = False) -> str:
        return self.text


@lru_cache(kept_max)
def ready_url(text: str) -> ReadyUrl:
    """Make that URL ready to be asked.

    Raises:
        ValueError: it is none.
    """
    uri = text if text.isascii() else EncodedURL.from_text(text).to_uri().to_text(with_password=True)
    made = cast(ReadyUrl, ReadyUrl.from_text(uri))
    made.text = uri
    return made
