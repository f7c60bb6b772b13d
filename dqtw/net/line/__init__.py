"""The server of the line protocol."""
