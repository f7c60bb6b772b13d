"""Commands for the queues of other nodes."""
