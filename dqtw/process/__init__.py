"""What a process of an operating system must mind: its clock, memory, signals, exit status and log."""
