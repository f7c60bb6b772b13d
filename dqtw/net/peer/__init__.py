"""What peers say to each other, over HTTP."""
