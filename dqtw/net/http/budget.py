"""A number of bytes that many connections share."""


class Budget:
    """A number of bytes, of which connections hold some until they give them back."""

    def __init__(self, bytes_max: int) -> None:
        self._free = bytes_max

    def take(self, count: int) -> bool:
        """Hold so many bytes and return True, or return False if fewer are free."""
        if count > self._free:
            return False
        self._free -= count
        return True

    def give_back(self, count: int) -> None:
        """Release so many bytes."""
        self._free += count
