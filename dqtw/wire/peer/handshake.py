"""How a stream is asked for and accepted: HTTP headers with MACs by the cluster's secret, and refusals.

The MAC of a request covers all its fields, that of an answer the request and the answer with both nonces. No clock is
involved: a replayed request names another process, or a number that the process has used before, and a replayed answer
belongs to another nonce. The MACs of the pieces of a stream have a key that both nonces determine.

While a secret is changed a node has two: it signs requests with the first and accepts both; an answer and the pieces
of its stream use the secret that the request was signed with.
"""

import hmac
import json
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from attrs import frozen

from dqtw.core.links.streams import StreamAnswer, StreamRefused, StreamRequest, protocol_version
from dqtw.core.model.errors import PeerFault
from dqtw.core.model.message import number_max
from dqtw.wire.peer.text import bare
from dqtw.wire.rest.problem import Answer, Header, phrase, problem_type, to_json

path: Final = f"/peer/v{protocol_version}/stream"
content_type: Final = "application/vnd.dqtw.frames"
refusal_bytes_max: Final = 16 * 1024

bad_request_code: Final = "bad_request"
_statuses: Final = MappingProxyType(
    {
        "wrong_cluster": HTTPStatus.FORBIDDEN,
        "version": HTTPStatus.BAD_REQUEST,
        "unauthorized": HTTPStatus.UNAUTHORIZED,
        "unknown_member": HTTPStatus.FORBIDDEN,
        "wrong_node": HTTPStatus.MISDIRECTED_REQUEST,
        "wrong_boot": HTTPStatus.MISDIRECTED_REQUEST,
        "too_many": HTTPStatus.TOO_MANY_REQUESTS,
        "replayed": HTTPStatus.CONFLICT,
        bad_request_code: HTTPStatus.BAD_REQUEST,
    }
)
"""The status of each code of `StreamRefused`; 503 for any other."""

_name: Final = r"[A-Za-z0-9_-]{1,64}"
_node: Final = r"[A-Za-z0-9_-]{1,63}"
_forms: Final = MappingProxyType(
    {
        "Dqtw-Cluster": r"[A-Za-z0-9._-]{1,63}",
        "Dqtw-Node": _node,
        "Dqtw-Boot": _name,
        "Dqtw-Url": r"(https?://[!-~]{1,2048})?",
        "Dqtw-Versions": r"[0-9]{1,3}(,[0-9]{1,3}){0,7}",
        "Dqtw-Nonce": _name,
        "Dqtw-Number": r"[0-9]{1,16}",
        "Dqtw-To-Node": _node,
        "Dqtw-To-Boot": f"({_name})?",
        "Dqtw-Mac": r"([0-9a-f]{64})?",
    }
)
"""The headers and the form of each; those in which an empty value is allowed may be absent."""
_greatest: Final = "Dqtw-Greatest"
_patterns: Final = {name: re.compile(form) for name, form in (*_forms.items(), (_greatest, r"([0-9A-Z]{26})?"))}
_answer_names: Final = ("Dqtw-Node", "Dqtw-Boot", "Dqtw-Nonce", _greatest, "Dqtw-Mac")

Values = Callable[[str], Sequence[bytes]]
"""Returns all values of the header with that name, in their order."""


@frozen
class Asked:
    """A stream request that was read, and the secret that it was signed with; None in a cluster without a secret."""

    request: StreamRequest
    secret: bytes | None


class _BadHeader(PeerFault):
    """A header is missing, repeated or malformed."""


def request_headers(request: StreamRequest, secret: bytes | None) -> list[Header]:
    """Return the headers of a stream request, signed with the secret if there is one."""
    fields = _request_fields(request)
    if secret is not None:
        fields["Dqtw-Mac"] = _request_mac(secret, fields)
    return [(name, value) for name, value in fields.items() if value]


def read_request(values: Values, secrets: Sequence[bytes]) -> Asked | StreamRefused:
    """Read the headers of a stream request and check its MAC, before all else, if there are secrets."""
    try:
        fields = {name: _value(values, name) for name in _forms}
        shown = fields.pop("Dqtw-Mac")
        number = int(fields["Dqtw-Number"])
        if number > number_max:
            raise _BadHeader("Dqtw-Number is too great")
    except _BadHeader as fault:
        return StreamRefused(bad_request_code, str(fault))
    fitting = [each for each in secrets if hmac.compare_digest(shown, _request_mac(each, fields))]
    if (secrets or shown) and not fitting:
        why = "the MAC of the request is wrong: the peer secrets of the nodes differ"
        if secrets and not shown:
            why = "this node has a peer secret (--peer-secret-file), and the asker has none"
        elif shown and not secrets:
            why = "the asker has a peer secret (--peer-secret-file), and this node has none"
        return StreamRefused("unauthorized", why, fields["Dqtw-Node"])
    request = StreamRequest(
        cluster=fields["Dqtw-Cluster"],
        node=fields["Dqtw-Node"],
        boot=fields["Dqtw-Boot"],
        url=fields["Dqtw-Url"],
        versions=tuple(map(int, fields["Dqtw-Versions"].split(","))),
        nonce=fields["Dqtw-Nonce"],
        number=number,
        to_node=fields["Dqtw-To-Node"],
        to_boot=fields["Dqtw-To-Boot"] or None,
    )
    return Asked(request, fitting[0] if fitting else None)


def answer_headers(asked: Asked, answer: StreamAnswer) -> list[Header]:
    """Return the headers with which a stream request is accepted."""
    fields = {"Dqtw-Node": answer.node, "Dqtw-Boot": answer.boot, "Dqtw-Nonce": answer.nonce}
    fields[_greatest] = answer.greatest or ""
    if asked.secret is not None:
        fields["Dqtw-Mac"] = _answer_mac(asked.secret, asked.request, fields)
    return [(name, value) for name, value in fields.items() if value]


def read_answer(values: Values, request: StreamRequest, secret: bytes | None) -> StreamAnswer:
    """Read the headers with which a request was accepted that was signed with that secret.

    Raises:
        PeerFault: they are malformed, or the answering process does not know the secret.
    """
    fields = {name: _value(values, name) for name in _answer_names}
    shown = fields.pop("Dqtw-Mac")
    if secret is not None and not hmac.compare_digest(shown, _answer_mac(secret, request, fields)):
        raise PeerFault("the answer shows no knowledge of this cluster's secret")
    return StreamAnswer(fields["Dqtw-Node"], fields["Dqtw-Boot"], fields["Dqtw-Nonce"], fields[_greatest] or None)


def piece_key(secret: bytes | None, request: StreamRequest, answer: StreamAnswer) -> bytes | None:
    """Return the key of the MACs of a stream's pieces; None in a cluster without a secret."""
    return None if secret is None else _mac(secret, "dqtw stream pieces", request.nonce, answer.nonce).digest()


def refusal(refused: StreamRefused) -> Answer:
    """Return a refusal as a problem document (RFC 9457); ``versions`` shows that a peer listener wrote it."""
    status = _statuses.get(refused.code, HTTPStatus.SERVICE_UNAVAILABLE)
    document = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status.value,
        "detail": refused.why,
        "code": refused.code,
        "versions": [protocol_version],
    }
    headers: tuple[Header, ...] = ()
    if status is HTTPStatus.UNAUTHORIZED:
        headers = (("WWW-Authenticate", "Dqtw-Peer"),)
    elif status is HTTPStatus.TOO_MANY_REQUESTS:
        headers = (("Retry-After", "1"),)
    return Answer(status, to_json(document), problem_type, headers)


def read_refusal(body: bytes) -> StreamRefused | None:
    """Read the refusal of a peer listener; None if the document is another one."""
    try:
        document = json.loads(body[:refusal_bytes_max])
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or "versions" not in document:
        return None
    code, detail = document.get("code"), document.get("detail")
    if not isinstance(code, str) or not isinstance(detail, str) or _patterns["Dqtw-Boot"].fullmatch(code) is None:
        return None
    return StreamRefused(code, bare(detail))


def _request_fields(request: StreamRequest) -> dict[str, str]:
    return {
        "Dqtw-Cluster": request.cluster,
        "Dqtw-Node": request.node,
        "Dqtw-Boot": request.boot,
        "Dqtw-Url": request.url,
        "Dqtw-Versions": ",".join(map(str, request.versions)),
        "Dqtw-Nonce": request.nonce,
        "Dqtw-Number": str(request.number),
        "Dqtw-To-Node": request.to_node,
        "Dqtw-To-Boot": request.to_boot or "",
    }


def _value(values: Values, name: str) -> str:
    found = values(name)
    if len(found) > 1:
        raise _BadHeader(f"{name} is given more than once")
    text = found[0].decode("latin-1") if found else ""
    if _patterns[name].fullmatch(text) is None:
        raise _BadHeader(f"{name} is malformed" if found else f"{name} is missing")
    return text


def _request_mac(secret: bytes, fields: dict[str, str]) -> str:
    """Return the MAC of a request. No field holds a newline, so each has one reading."""
    return _mac(secret, "dqtw stream request", *fields.values()).hexdigest()


def _answer_mac(secret: bytes, request: StreamRequest, fields: dict[str, str]) -> str:
    return _mac(secret, "dqtw stream answer", *_request_fields(request).values(), *fields.values()).hexdigest()


def _mac(secret: bytes, *parts: str) -> "hmac.HMAC":
    return hmac.new(secret, "\n".join(parts).encode(), sha256)
