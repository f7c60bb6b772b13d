"""How often Python's garbage collector looks for cycles, and how long each look holds everything else up.

Almost nothing in here depends on it: messages have no cycles, and go when the last reference to them does. But every
message is three objects that it looks at, and by default it looks at all there are each time a quarter as many have
been added: for a queue that fills up to a million messages 16 times, 0.4 s and more towards the end, 2.5 s in all.
"""

import gc
from typing import Final

thresholds: Final = (10_000, 5, 100)
"""When to look at the youngest objects, at the middle-aged, at all: after so many more objects than went; after so many
looks of the kind before.

A look at the youngest takes 2 ms at most, at the middle-aged 10 ms. All are looked at after 5,000,000 more objects than
went at the soonest, and as ever not before a quarter as many have been added as there are: a queue that grows from
nothing to a million messages, or is copied from a peer, needs no such look, which takes 0.9 s then. Traffic that takes
out as much as it brings in brings none about either. It must come nevertheless: what died in a cycle when it was no
longer young, as failures of long connections may, is found by no other.
"""


def collect_seldom() -> None:
    """Look for garbage seldom from now on, and no longer at what is there now.

    To be called when a process has started: the 60,000 objects of the modules are there for good, and a look at them
    takes 28 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*thresholds)
