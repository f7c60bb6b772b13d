"""A check of a running cluster: clients that load it, a history of what they saw, and a judge of that history."""
