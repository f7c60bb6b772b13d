"""The peer protocol, version 1: requests and answers between nodes, as MessagePack.

A request's verb stands in its path; an answer names what it is. Reading is total: any bytes either give a value that
the core may take as it is, or raise `PeerFault`, in time and memory that follow the input's length. Writing takes what
the core makes.
"""

import re
from types import MappingProxyType
from typing import Any, Final, cast

from dqtw.core.links.peer_messages import (
    Applied,
    Ask,
    Asked,
    Declined,
    Delta,
    FencedOff,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    NoSession,
    Open,
    Opened,
    Page,
    Paged,
    PeerAnswer,
    PeerRequest,
)
from dqtw.core.model.errors import PeerFault
from dqtw.wire.peer import values as v
from dqtw.wire.peer.commands import command, outcome
from dqtw.wire.peer.kinds import Cases, Data, Kind, decode, encode, flag, one_of, prose, record, seconds

version: Final = 1
content_type: Final = "application/vnd.msgpack"
to_header: Final = "Dqtw-To"  # which node the asker means to ask
path_prefix: Final = f"/peer/v{version}/"
protocol: Final = "peer protocol"  # named by each 404 of a listener for peers

_misdirected: Final = re.compile(r"this is the node ([A-Za-z0-9_-]{1,63}), not [A-Za-z0-9_-]{1,63}")

_session: Final[dict[str, Kind[Any]]] = {"queue": v.queue, "token": v.word, "request": v.request_number}
_node: Final[dict[str, Kind[Any]]] = {"node": v.node, "boot": v.word}
_answering: Final[dict[str, Kind[Any]]] = {**_node, "token": v.word, "request": v.request_number}

requests: Final = MappingProxyType(
    {
        "ask": (Ask, record(Ask, queue=v.queue, cluster=v.cluster)),
        "open": (
            Open,
            record(
                Open,
                queue=v.queue,
                role=v.role,
                cluster=v.cluster,
                **_node,
                incarnation=v.incarnation_or_none,
                nonce=v.word,
                body_bytes_max=v.count,
                members=v.member_list,
                addresses=v.addresses,
            ),
        ),
        "page": (Page, record(Page, **_session, after=v.dot, keys_from=v.count)),
        "delta": (
            Delta,
            record(
                Delta,
                **_session,
                incarnation=v.incarnation_or_none,
                gone=v.ids,
                put=v.puts,
                keys=v.keys,
                synced=flag,
                ready=v.count,
            ),
        ),
        "fetch": (Fetch, record(Fetch, **_session, ids=v.ids)),
        "forward": (
            Forward,
            record(
                Forward,
                node=v.node,
                cluster=v.cluster,
                incarnation=v.incarnation,
                to=v.word,
                number=v.forward_number,
                command=command,
            ),
        ),
    }
)
"""The verbs, and what is asked with each."""

_verbs: Final = {made: verb for verb, (made, _) in requests.items()}

answers: Final[Cases] = MappingProxyType(
    {
        "asked": (
            (Asked,),
            record(
                Asked,
                **_node,
                greatest=v.incarnation_or_none,
                owner_boot=v.word_or_none,
                heard_s_ago=seconds,
                synced_once=flag,
                in_sync=flag,
                leaving=flag,
                fenced=flag,
                addresses=v.addresses,
            ),
        ),
        "opened": (
            (Opened,),
            record(
                Opened,
                **_node,
                nonce=v.word,
                token=v.word,
                digest=v.digest,
                keys=v.keys,
                keys_left=flag,
                members=v.member_list,
                settings=v.shared_settings,
                addresses=v.addresses,
                leaving=flag,
            ),
        ),
        "paged": (
            (Paged,),
            record(Paged, **_answering, digest=v.digest_or_none, keys=v.keys, keys_left=flag, leaving=flag),
        ),
        "applied": ((Applied,), record(Applied, **_answering, shared=flag, cannot_reach=prose, leaving=flag)),
        "fetched": ((Fetched,), record(Fetched, **_answering, put=v.puts, gone=v.ids, leaving=flag)),
        "forwarded": ((Forwarded,), record(Forwarded, outcome=outcome)),
        "fenced": ((FencedOff,), record(FencedOff, **_node, greatest=v.incarnation_or_none)),
        "no_session": ((NoSession,), record(NoSession, **_node)),
        "declined": ((Declined,), record(Declined, why=prose)),
    }
)
"""All answers, by their names."""

_answer: Final = one_of(answers)

_fitting: Final[dict[type[Any], tuple[type[Any], ...]]] = {
    Ask: (Asked, NoSession, Declined),
    Open: (Opened, NoSession, FencedOff, Declined),
    Page: (Paged, NoSession, FencedOff, Declined),
    Delta: (Applied, NoSession, FencedOff, Declined),
    Fetch: (Fetched, NoSession, FencedOff, Declined),
    Forward: (Forwarded, NoSession, FencedOff, Declined),
}


def misdirected(node: str, to: str) -> str:
    """Return what a node answers a request that was meant for another node."""
    return f"this is the node {node}, not {to}"


def node_of_misdirected(detail: str) -> str:
    """Return the node that answered so; empty if the words are others."""
    found = _misdirected.fullmatch(detail)
    return found[1] if found else ""


def verb_of(request: PeerRequest) -> str:
    """The verb that a request is made with."""
    return _verbs[type(request)]


def encode_request(request: PeerRequest) -> bytes:
    """Write a request."""
    return encode(cast(Kind[Any], requests[verb_of(request)][1]), request)


def decode_request(verb: str, data: Data) -> PeerRequest:
    """Read a request made with one of the `requests`.

    Raises:
        PeerFault: the data are no such request.
    """
    return cast(PeerRequest, decode(cast(Kind[Any], requests[verb][1]), data))


def encode_answer(answer: PeerAnswer) -> bytes:
    """Write an answer; any but `Failed`, which nobody sends."""
    return encode(_answer, answer)


def decode_answer(request: PeerRequest, data: Data) -> PeerAnswer:
    """Read the answer to a request.

    Raises:
        PeerFault: the data are no answer, or none to such a request.
    """
    answer = decode(_answer, data, "" if isinstance(request, Forward) else request.queue)
    if not isinstance(answer, _fitting[type(request)]):
        raise PeerFault(f"{type(answer).__name__} is no answer to {verb_of(request)}")
    return cast(PeerAnswer, answer)
