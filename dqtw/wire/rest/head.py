"""Headers of a REST request that mean something, and on which this API does not act: none is ignored in silence."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dqtw.core.model.errors import BadRequest, UnsupportedEncoding, quote

_key: Final = b"idempotency-key"
_conditions: Final = "requests with conditions are not supported"
_overrides: Final = "a method stands in the request line, and no header changes it"

_refused: Final[Mapping[bytes, str]] = {
    b"content-range": "a body is sent whole, never in ranges",
    b"if-match": _conditions,
    b"if-none-match": _conditions,
    b"if-unmodified-since": _conditions,
    b"x-http-method": _overrides,
    b"x-http-method-override": _overrides,
    b"x-method-override": _overrides,
}


def check_headers(path: bytes, headers: Iterable[tuple[bytes, Sequence[bytes]]]) -> None:
    """Check the headers of a request.

    Args:
        path: the decoded path.
        headers: each header's name in any case, and its values.

    Raises:
        BadRequest: a header asks for what this path, or this API, does not do.
        UnsupportedEncoding: the body is encoded.
    """
    for name, values in headers:
        match name.lower():
            case b"content-encoding":
                _check_encoding(values)
            case b"expect":
                _check_expectation(values)
            case lowered if lowered == _key and path != b"/push":
                raise BadRequest(_where_keys_belong(path))
            case lowered if lowered != _key and lowered.replace(b"_", b"-").endswith(_key):
                raise BadRequest(f"{name.decode()} is not kept: the key of a push is its Idempotency-Key")
            case lowered if lowered in _refused:
                raise BadRequest(f"{name.decode()}: {_refused[lowered]}")
            case lowered if lowered.startswith(b"dqtw-") and not path.startswith(b"/peer/"):  # a lost peer gets a 404
                raise BadRequest(f"{name.decode()} is a header of answers; parameters belong in the query")


def _check_encoding(values: Sequence[bytes]) -> None:
    for value in values:
        for coding in filter(None, map(bytes.strip, value.split(b","))):
            if coding.lower() != b"identity":
                shown = quote(coding.decode("latin-1"))
                raise UnsupportedEncoding(f"a body is kept as it is, so it can't come encoded as {shown}")


def _check_expectation(values: Sequence[bytes]) -> None:
    for value in values:
        if value.lower() != b"100-continue":
            raise BadRequest(f"Expect can only be 100-continue, not {quote(value.decode('latin-1'))}")


def _where_keys_belong(path: bytes) -> str:
    if path == b"/push/batch":
        return 'Idempotency-Key is for POST /push; in a batch each item has its own key, as "key"'
    return "Idempotency-Key is for POST /push; this request takes none"
