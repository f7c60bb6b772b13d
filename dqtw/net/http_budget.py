"""A number of bytes that many share."""


class Budget:
    """So many bytes, of which anybody may hold some until they are given back."""

    def __init__(self, bytes_max: int) -> None:
        self._free = bytes_max

    def take(self, count: int) -> bool:
        """Whether so many bytes may be held; if not, none of them are."""
        if count > self._free:
            return False
        self._free -= count
        return True

    def give_back(self, count: int) -> None:
        """So many bytes are held no longer."""
        self._free += count
