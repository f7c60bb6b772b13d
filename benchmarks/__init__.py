"""How fast a node, or a cluster, answers: real processes over loopback, measured from outside."""
