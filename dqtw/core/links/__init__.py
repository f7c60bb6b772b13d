"""The peers, and what goes between them."""
