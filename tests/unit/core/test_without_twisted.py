"""The core and the wire run where no Twisted is: in a simulator, in a client for plain Python."""

import subprocess
import sys
from pathlib import Path

import dqtw

SCRIPT = """
import importlib, pkgutil, sys

for name in ("twisted", "zope", "klein", "treq", "werkzeug"):
    sys.modules[name] = None  # an import of it fails

import dqtw.core, dqtw.wire

for package in (dqtw.core, dqtw.wire):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)

from dqtw.core.model.commands import Ack, Delivered, Done, Get, Push, Pushed
from dqtw.core.node import Node
from dqtw.core.model.settings import NodeSettings

node = Node(0.0, NodeSettings(), lambda count: b"e" * count, 0)

def tell(command):
    node.command(0.0, 1, command)
    *_, answer = node.take_effects(0.0)
    return answer.outcome

pushed = tell(Push(b"work"))
(delivery,) = tell(Get()).deliveries
assert (delivery.receipt.id, delivery.message.body) == (pushed.id, b"work")
assert tell(Ack(delivery.receipt.id)) == Done()
assert tell(Get()) == Delivered()
print("served")
"""


def test_a_push_a_get_and_an_ack_work_without_twisted() -> None:
    root = Path(dqtw.__file__).parent.parent
    ran = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "served\n", "")
