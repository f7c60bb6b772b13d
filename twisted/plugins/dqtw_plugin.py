"""Tells twistd that there is a service called dqtw, and where it is made."""

from twisted.application.service import ServiceMaker

dqtw = ServiceMaker("dqtw", "dqtw.tap", "A work queue server that does not lose work.", "dqtw")
