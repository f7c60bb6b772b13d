"""How single values and structures of them are written in MessagePack and read back, whatever they mean.

Reading follows the schema: an array or a map is entered only where one is expected, and scalars only are taken in
between, so that no input makes more of itself than its own length, however deep it nests or whatever lengths it
claims.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from math import isfinite
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

import msgpack
from attrs import frozen

from dqtw.core.model.errors import BadRequest, PeerFault
from dqtw.core.model.message import number_max

Data: TypeAlias = bytes | bytearray | memoryview
T = TypeVar("T")
E = TypeVar("E", bound=Enum)

items_max: Final = 2**17  # of all arrays and maps of one input; about twice what the fullest request has
text_bytes_max: Final = 8192
seconds_max: Final = 1e32  # as many digits as a client may write
prose_chars_max: Final = 1000


class Source:
    """MessagePack on its way to become a value.

    Attributes:
        queue: the queue that is spoken of; every id on the way belongs to it.
        scalar: takes the next value, which must not be an array or a map with anything in it.
    """

    __slots__ = ("_items_left", "_unpacker", "queue", "scalar")

    def __init__(self, data: Data, queue: str = "") -> None:
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(data), 1),
            max_bin_len=len(data),
            max_str_len=text_bytes_max,
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
            raw=False,
            strict_map_key=True,
        )
        self._unpacker.feed(data)
        self._items_left = items_max
        self.queue = queue
        self.scalar: Callable[[], object] = self._unpacker.unpack

    def array(self) -> int:
        """Enter an array; how many items follow."""
        return self._enter(self._unpacker.read_array_header, "an array")

    def map(self) -> int:
        """Enter a map; how many pairs follow."""
        return self._enter(self._unpacker.read_map_header, "a map")

    @property
    def offset(self) -> int:
        """How many bytes have been read."""
        return cast(int, self._unpacker.tell())

    def _enter(self, read_header: Callable[[], int], what: str) -> int:
        try:
            count = read_header()
        except ValueError:
            raise PeerFault(f"not {what}") from None
        self._items_left -= count
        if self._items_left < 0:
            raise PeerFault("that holds too many items")
        return count


@frozen
class Kind(Generic[T]):
    """One kind of value.

    Attributes:
        read: takes the value out of its source; raises `PeerFault` or what msgpack raises.
        write: makes of it what msgpack can pack.
    """

    read: Callable[[Source], T]
    write: Callable[[T], object] = lambda value: value


def encode(kind: Kind[T], value: T) -> bytes:
    """Write a value."""
    return cast(bytes, msgpack.packb(kind.write(value), use_bin_type=True))


def decode(kind: Kind[T], data: Data, queue: str = "") -> T:
    """Read a value.

    Raises:
        PeerFault: the data are not exactly one value of this kind.
    """
    source = Source(data, queue)
    try:
        value = kind.read(source)
    except (msgpack.OutOfData, msgpack.BufferFull):
        raise PeerFault("that is cut short") from None
    except (ValueError, msgpack.UnpackException):
        raise PeerFault("that is not what is expected here, or no MessagePack at all") from None
    if source.offset != len(data):
        raise PeerFault("something follows that is not expected")
    return value


# Scalars


@frozen(kw_only=True)
class Scalar(Kind[T]):
    """A kind of value that is no array and no map.

    Attributes:
        judge: makes the value of what msgpack read, whatever that is; raises `PeerFault`.
    """

    judge: Callable[[object], T]


def judged(judge: Callable[[object], T], write: Callable[[T], object] = lambda value: value) -> Scalar[T]:
    """A scalar that is what the judge makes of it."""
    return Scalar(read=lambda source: judge(source.scalar()), write=write, judge=judge)


def scalar(of: type[T], what: str, is_good: Callable[[T], object] = lambda _: True) -> Scalar[T]:
    """A value of exactly this type, for which the check holds."""

    def judge(value: object) -> T:
        if type(value) is not of or not is_good(value):
            raise PeerFault(f"not {what}")
        return value

    return judged(judge)


def or_nil(kind: Scalar[T]) -> Scalar[T | None]:
    """A scalar that may be missing."""
    return judged(
        lambda value: None if value is None else kind.judge(value),
        lambda value: None if value is None else kind.write(value),
    )


def parsed(parse: Callable[[str], T], write: Callable[[T], object] = str) -> Scalar[T]:
    """A text that is read as it is at the doors."""

    def judge(value: object) -> T:
        if type(value) is not str:
            raise PeerFault("not a text")
        try:
            return parse(value)
        except BadRequest as refusal:
            raise PeerFault(refusal.detail) from None

    return judged(judge, write)


def word_of(words: type[E]) -> Scalar[E]:
    """One of an enumeration's words."""
    by_word = {each.value: each for each in words}

    def judge(value: object) -> E:
        if type(value) is not str or value not in by_word:
            raise PeerFault(f"not one of {', '.join(by_word)}")
        return by_word[value]

    return judged(judge, lambda value: value.value)


def whole(low: int, high: int = number_max) -> Scalar[int]:
    """A whole number from ``low`` to ``high``."""
    return scalar(int, f"a whole number from {low} to {high}", lambda value: low <= value <= high)


def bare(text: str) -> str:
    """Bring a text into the form in which it may be told to anybody: on one line, and not endless."""
    cut = text[:prose_chars_max]
    return cut if cut.isprintable() else "".join(each if each.isprintable() else "?" for each in cut)


flag: Final = scalar(bool, "true or false")
blob: Final = scalar(bytes, "bytes")
seconds: Final[Scalar[float]] = judged(
    scalar(float, "seconds", lambda value: isfinite(value) and 0 <= value <= seconds_max).judge,
    lambda value: min(max(float(value), 0.0), seconds_max),
)
prose: Final[Scalar[str]] = judged(
    scalar(str, "a short text", lambda value: len(value) <= prose_chars_max and value.isprintable()).judge, bare
)

# Structures

Cases: TypeAlias = Mapping[str, tuple[tuple[type[Any], ...], Kind[Any]]]
"""By name: the types that have it, and how they are written."""


def several(kind: Kind[T], count_max: int = items_max) -> Kind[tuple[T, ...]]:
    """An array of at most so many."""

    def read(source: Source) -> tuple[T, ...]:
        count = source.array()
        if count > count_max:
            raise PeerFault(f"more than {count_max} of what may be given at once")
        one = kind.read
        return tuple([one(source) for _ in range(count)])

    return Kind(read, lambda values: [kind.write(value) for value in values])


def maybe(kind: Kind[T]) -> Kind[T | None]:
    """An array of none or one: what may be missing and is no scalar."""
    array = several(kind, 1)
    return Kind(
        lambda source: next(iter(array.read(source)), None), lambda value: [] if value is None else [kind.write(value)]
    )


def row(*kinds: Scalar[Any]) -> Callable[[Source], list[Any]]:
    """Reads an array of exactly these: what stands in great numbers, and so without names."""
    judges = [kind.judge for kind in kinds]

    def read(source: Source) -> list[Any]:
        if source.array() != len(judges):
            raise PeerFault(f"not an array of {len(judges)}")
        take = source.scalar
        return [judge(take()) for judge in judges]

    return read


def record(made: Callable[..., T], **fields: Kind[Any]) -> Kind[T]:
    """A map of exactly these names, in this order; they are the attributes of the value."""

    def read(source: Source) -> T:
        if source.map() != len(fields):
            raise PeerFault(f"not a map of {', '.join(fields) or 'nothing'}")
        return made(**{name: _read_field(source, name, kind) for name, kind in fields.items()})

    return Kind(read, lambda value: {name: kind.write(getattr(value, name)) for name, kind in fields.items()})


def _read_field(source: Source, name: str, kind: Kind[T]) -> T:
    if source.scalar() != name:
        raise PeerFault(f"{name} is missing, or not at its place")
    try:
        return kind.read(source)
    except PeerFault as fault:
        raise PeerFault(f"{name}: {fault}") from None


def one_of(cases: Cases) -> Kind[Any]:
    """An array of two: which of these it is, and that."""
    tags = {type_: (tag, kind) for tag, (types, kind) in cases.items() for type_ in types}

    def read(source: Source) -> Any:
        if source.array() != 2:
            raise PeerFault("not an array of a name and what it names")
        tag = source.scalar()
        if type(tag) is not str or tag not in cases:
            raise PeerFault(f"not one of {', '.join(cases)}")
        return _read_case(source, tag, cases[tag][1])

    def write(value: Any) -> object:
        tag, kind = tags[type(value)]
        return [tag, kind.write(value)]

    return Kind(read, write)


def _read_case(source: Source, tag: str, kind: Kind[T]) -> T:
    try:
        return kind.read(source)
    except PeerFault as fault:
        raise PeerFault(f"{tag}: {fault}") from None
