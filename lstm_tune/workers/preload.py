"""What the server of `processes` imports once for all workers: everything that a trial needs.

Collecting garbage takes a quarter of the time that imports take, and would later copy in each worker what they share.
"""

import gc

gc.disable()

import torch._dynamo  # noqa: E402  # torch imports it when the first optimizer is made, in a second

from lstm_tune.search import pruners, samplers  # noqa: E402
from lstm_tune.workers import worker  # noqa: E402
from lstm_tune.workers.processes import end_with_starter  # noqa: E402

__all__ = ["pruners", "samplers", "torch", "worker"]

end_with_starter()
gc.freeze()
gc.enable()
