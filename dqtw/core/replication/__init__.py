"""Replicas: of this node's queue at its peers, of theirs here."""
