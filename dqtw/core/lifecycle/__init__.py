"""The phases of a node: start, serve, hand over, end."""
