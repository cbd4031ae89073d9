"""Keeps the imported objects of the template process out of Python's cycle collector.

The template process (see `code_server`) imports this module last. Its copies, the processes of the runs, then collect
only the objects that they create. Otherwise each full collection of a run would visit a million imported objects. These
visits would also write to the memory that a run shares with the template process, so that Linux would have to copy it.
"""

from __future__ import annotations

import gc

gc.collect()
gc.freeze()
