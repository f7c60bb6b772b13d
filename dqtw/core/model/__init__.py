"""The data: messages, commands, errors, replicas, settings."""
