"""The doors: sockets, HTTP and time outs around the wire and the driver."""
