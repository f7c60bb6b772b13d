"""What the checker says when something is wrong."""


class Violation(AssertionError):
    """A promise was broken; the text says which, and by whom."""


def require(holds: object, what: str) -> None:
    """See that something holds.

    Raises:
        Violation: it does not.
    """
    if not holds:
        raise Violation(what)
