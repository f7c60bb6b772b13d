"""The bounds of what HTTP clients may use of this process."""

from attrs import frozen


@frozen
class HttpLimits:
    """The bounds of an HTTP listener.

    Attributes:
        connections_max: open connections. On one more, only a health check is answered; other requests are ``busy``.
        refused_connections_max: connections beyond that number; for one more, the oldest of them is cut off.
        line_bytes_max: the request line, or any one header line.
        head_bytes_max: the request line and all headers.
        header_count_max: headers of one request.
        pipelined_bytes_max: what is read ahead of a request that is being answered.
        received_bytes_max: bodies of requests that are not answered yet, of all connections together.
        free_body_bytes: so much of each body does not count, so that small requests pass where large ones don't.
        unread_bytes_max: answers that their clients do not read, of all connections together.
        head_seconds_max: from a request's first byte to the end of its head.
        request_seconds_max: from a request's first byte to its last, if its body is small.
        body_bytes_per_second_min: each part of a body that has arrived adds time to that, at this rate.
        idle_seconds_max: between two requests, and before the first.
        linger_seconds_max: a refused client may go on sending for this long before it is cut off.
        piece_bytes: a larger answer is written in pieces of this size, so that a client that reads slowly can be told
            from one that does not read.
        answer_seconds_max: a client may take this long to read one piece of an answer.
    """

    connections_max: int = 1000
    refused_connections_max: int = 100
    line_bytes_max: int = 8192
    head_bytes_max: int = 16384
    header_count_max: int = 100
    pipelined_bytes_max: int = 16384
    received_bytes_max: int = 256 * 1024 * 1024
    free_body_bytes: int = 64 * 1024
    unread_bytes_max: int = 256 * 1024 * 1024
    head_seconds_max: float = 10.0
    request_seconds_max: float = 60.0
    body_bytes_per_second_min: int = 16 * 1024
    idle_seconds_max: float = 75.0
    linger_seconds_max: float = 5.0
    piece_bytes: int = 128 * 1024
    answer_seconds_max: float = 300.0
