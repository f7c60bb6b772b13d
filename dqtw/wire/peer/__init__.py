"""What peers say to each other: bytes to values and back."""
