"""The options: one table, from the command line to the settings of a node."""
