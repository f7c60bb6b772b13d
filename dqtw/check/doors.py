"""The two listeners of a node, as a plain client uses them: requests out, answers in, one connection that is kept."""

import base64
import json
import socket
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import IO, Any, Final
from urllib.parse import quote

from attrs import define
from typing_extensions import override

from dqtw.check.asking import Access, Address, Answer, ClientDoor, Get, NoStats
from dqtw.check.history import Delivery

no_access: Final = Access()


def open_door(address: Address, timeout_s: float, access: Access = no_access) -> ClientDoor:
    """Return a client of that listener; it connects when it is first used, and again after an error."""
    return (HttpDoor if address.is_http else LineDoor)(address, timeout_s, access)


class _NotConnected(Exception):
    """Nothing was sent; the text says why."""


@define
class HttpDoor(ClientDoor):
    """A client of the REST API."""

    address: Address
    timeout_s: float
    access: Access = no_access
    _connection: HTTPConnection | None = None
    _headers: Any = None

    @override
    def push(self, bodies: Sequence[str], key: str = "") -> list[Answer]:
        if len(bodies) > 1:
            items = [{"text": body} for body in bodies]
            return self._batch("/push/batch", items, lambda item: Answer(id=item["id"]))
        headers = {"Idempotency-Key": key} if key else {}
        return [self._ask("/push", bodies[0].encode(), headers, lambda said: Answer(id=json.loads(said)["id"]))]

    @override
    def get(self, get: Get) -> Answer:
        query = f"wait={get.wait_s}&" + _hold(get)
        if get.count_max == 1:
            return self._ask(f"/get?{query}", b"", {}, lambda said: self._delivery(get, said))
        return self._ask(f"/get/batch?max={get.count_max}&{query}", b"", {}, lambda said: _deliveries(get, said))

    def _delivery(self, get: Get, said: bytes) -> Answer:
        if not said:
            return Answer()
        head = self._headers
        id, attempt = head["Dqtw-Id"], int(head["Dqtw-Attempt"])
        # A message that is removed at delivery has neither receipt nor lease.
        receipt, lease = head.get("Dqtw-Receipt", id), head.get("Dqtw-Lease", get.lease_s)
        return Answer(deliveries=(Delivery(id, receipt, attempt, float(lease), _text(said)),))

    @override
    def remove(self, receipts: Sequence[str]) -> list[Answer]:
        if len(receipts) > 1:
            return self._batch("/ack/batch", list(receipts), _done)
        return [self._ask(f"/ack/{receipts[0]}", b"", {}, _done)]

    @override
    def nack(self, receipt: str, delay_s: float) -> Answer:
        return self._ask(f"/nack/{receipt}?delay={delay_s}", b"", {}, _done)

    @override
    def touch(self, receipt: str, lease_s: float) -> Answer:
        return self._ask(f"/touch/{receipt}?lease={lease_s}", b"", {}, _done)

    @override
    def stats(self) -> dict[str, Any]:
        try:
            status, said = self._exchange("GET", "/stats", b"", {})
        except _NotConnected as error:
            raise NoStats(f"{error}") from None
        except (OSError, HTTPException) as error:
            self.close()
            raise NoStats(f"no answer: {error or type(error).__name__}") from None
        if status != 200:
            raise NoStats(f"it answered {status}, {_named(_code(said))}")
        return _stats(said)

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _batch(self, path: str, items: list[Any], read: Callable[[Any], Answer]) -> list[Answer]:
        answers: list[Answer] = []

        def take(said: bytes) -> Answer:
            answers.extend(Answer(code=item["code"]) if "code" in item else read(item) for item in json.loads(said))
            return Answer()

        whole = self._ask(path, json.dumps(items).encode(), {}, take)
        return answers or [whole] * len(items)

    def _ask(self, path: str, body: bytes, headers: dict[str, str], read: Callable[[bytes], Answer]) -> Answer:
        try:
            status, said = self._exchange("POST", path, body, headers)
            is_batch = said.startswith(b"[")  # also where all of it is refused
            return read(said) if status < 300 or is_batch else Answer(code=_code(said))
        except _NotConnected:
            return Answer(code="refused")
        except (OSError, HTTPException, ValueError, KeyError):
            self.close()
            return Answer(code="lost")

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = self._connected()
        shown = {"Authorization": f"Bearer {self.access.token}"} if self.access.token else {}
        connection.request(method, path, body, {**headers, **shown})
        answer = connection.getresponse()
        self._headers, said = answer.headers, answer.read()
        if answer.will_close:
            self.close()
        return answer.status, said

    def _connected(self) -> HTTPConnection:
        if self._connection is None:
            connection = self._new()
            try:
                connection.connect()
            except OSError as error:
                raise _NotConnected(f"{error}") from None
            self._connection = connection
        return self._connection

    def _new(self) -> HTTPConnection:
        host, port = self.address.host, self.address.port
        if self.address.is_encrypted:
            return HTTPSConnection(host, port, timeout=self.timeout_s, context=self.access.context)
        return HTTPConnection(host, port, timeout=self.timeout_s)


def _hold(get: Get) -> str:
    """Return the parameter that says how long a delivery is held: for a lease, or not at all."""
    return "ack=now" if get.ack_now else f"lease={get.lease_s}"


def _done(said: object) -> Answer:  # noqa: ARG001  (only that it was answered counts)
    return Answer()


def _code(said: bytes) -> str:
    """The code of a refusal; a proxy's own page has none."""
    try:
        return str(json.loads(said)["code"])
    except (ValueError, KeyError, TypeError):
        return "proxy"


def _named(code: str) -> str:
    """Return the words for a code: one that is not dqtw's own means that something else has answered."""
    return "not as a dqtw node" if code == "proxy" else code


def _stats(said: bytes) -> dict[str, Any]:
    """Read the stats of a node.

    Raises:
        NoStats: something else than a dqtw node has written this.
    """
    try:
        found = json.loads(said)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"node", "incarnation", "queueSize"} <= found.keys():
        raise NoStats("what answers there is not a dqtw node")
    return found


def _text(said: bytes) -> str:
    return said.decode("utf-8", "backslashreplace")


def _deliveries(get: Get, said: bytes) -> Answer:
    return Answer(
        deliveries=tuple(
            Delivery(
                each["id"],
                each.get("receipt", each["id"]),
                each["attempt"],
                each.get("lease", get.lease_s),
                _body(each),
            )
            for each in json.loads(said)
        )
    )


def _body(item: dict[str, Any]) -> str:
    return str(item["text"]) if "text" in item else _text(base64.b64decode(item["base64"]))


@define
class LineDoor(ClientDoor):
    """A client of the line protocol; several requests go out at once, and are answered in order."""

    address: Address
    timeout_s: float
    access: Access = no_access
    _socket: socket.socket | None = None
    _file: IO[bytes] | None = None

    @override
    def push(self, bodies: Sequence[str], key: str = "") -> list[Answer]:
        word = f" key={quote(key)}" if key else ""
        requests = [f"PUSH {len(body.encode())}{word}\r\n{body}" for body in bodies]
        return self._ask(requests, lambda line: Answer(id=line.split(" ")[1]))

    @override
    def get(self, get: Get) -> Answer:
        words = f"GET {_hold(get)}"
        requests = [f"{words} wait={get.wait_s}" if get.wait_s else words, *[words] * (get.count_max - 1)]
        answers = self._ask(requests, lambda line: self._delivery(get, line))
        deliveries = tuple(delivery for answer in answers for delivery in answer.deliveries)
        return Answer(next((answer.code for answer in answers if answer.code), ""), deliveries=deliveries)

    def _delivery(self, get: Get, line: str) -> Answer:
        if line == "EMPTY":
            return Answer()
        _, receipt, attempt, length, *_ = line.split(" ")
        body = _text(self._read(int(length)))
        self._read(2)
        id = receipt if get.ack_now else receipt.rsplit(".", 1)[0]  # a message that is removed already has no receipt
        return Answer(deliveries=(Delivery(id, receipt, int(attempt), get.lease_s, body),))

    @override
    def remove(self, receipts: Sequence[str]) -> list[Answer]:
        return self._ask([f"ACK {receipt}" for receipt in receipts], _done)

    @override
    def nack(self, receipt: str, delay_s: float) -> Answer:
        return self._ask([f"NACK {receipt} delay={delay_s}"], _done)[0]

    @override
    def touch(self, receipt: str, lease_s: float) -> Answer:
        return self._ask([f"TOUCH {receipt} lease={lease_s}"], _done)[0]

    @override
    def stats(self) -> dict[str, Any]:
        bodies: list[bytes] = []

        def take(line: str) -> Answer:
            bodies.append(self._read(int(line.removeprefix("STATS "))))
            self._read(2)
            return Answer()

        try:
            answer = self._ask_connected(["STATS"], take)[0]
        except _NotConnected as error:
            raise NoStats(f"{error}") from None
        if not bodies:
            raise NoStats("no answer" if answer.code == "lost" else f"it answered {_named(answer.code)}")
        return _stats(bodies[0])

    @override
    def close(self) -> None:
        for each in (self._file, self._socket):
            if each is not None:
                each.close()
        self._file = self._socket = None

    def _ask(self, requests: list[str], read: Callable[[str], Answer]) -> list[Answer]:
        try:
            return self._ask_connected(requests, read)
        except _NotConnected:
            return [Answer(code="refused")] * len(requests)

    def _ask_connected(self, requests: list[str], read: Callable[[str], Answer]) -> list[Answer]:
        answers: list[Answer] = []
        try:
            self._connected().sendall("".join(f"{request}\r\n" for request in requests).encode())
            for _ in requests:
                answers.append(self._answer(read))  # noqa: PERF401  (those before a failure count)
        except (OSError, ValueError, KeyError, IndexError):
            self.close()
        return answers + [Answer(code="lost")] * (len(requests) - len(answers))

    def _answer(self, read: Callable[[str], Answer]) -> Answer:
        assert self._file is not None
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError
        text = line.decode().removesuffix("\r\n")
        return Answer(code=text.split(" ")[1]) if text.startswith("ERR ") else read(text)

    def _read(self, count: int) -> bytes:
        assert self._file is not None
        found = self._file.read(count)
        if len(found) < count:
            raise ConnectionResetError
        return found

    def _connected(self) -> socket.socket:
        if self._socket is None:
            try:
                self._socket = self._new()
            except OSError as error:
                raise _NotConnected(f"{error}") from None
            self._file = self._socket.makefile("rb")
            if self.access.token:
                self._authenticate()
        return self._socket

    def _new(self) -> socket.socket:
        connected = socket.create_connection((self.address.host, self.address.port), self.timeout_s)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.address.is_encrypted:
            return self.access.context.wrap_socket(connected, server_hostname=self.address.host)
        return connected

    def _authenticate(self) -> None:
        """Show the token on a new connection."""
        assert self._socket is not None
        try:
            self._socket.sendall(f"AUTH {self.access.token}\r\n".encode())
            refusal = self._answer(_done).code
        except (OSError, IndexError) as error:
            refusal = f"{error}"
        if refusal:
            self.close()
            raise _NotConnected(f"AUTH was refused: {refusal}")
