"""Requests and answers of the REST API: bytes to values and back."""
