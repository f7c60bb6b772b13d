"""A bounded HTTP/1.1 server on top of twisted.web."""
