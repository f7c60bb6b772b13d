"""The queue that this node owns."""
