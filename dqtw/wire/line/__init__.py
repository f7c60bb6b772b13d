"""The line protocol: bytes to values and back."""
