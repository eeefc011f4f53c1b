"""The little of torch that the data set touches, over numpy: its protocol is checked where torch is not installed.

``make test-training`` runs the same with torch itself.
"""

from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np


class IterableDataset:
    """Only a base to inherit from; ``IterableDataset[...]`` is itself."""

    def __class_getitem__(cls, _item: Any) -> type["IterableDataset"]:
        return cls


class Tensor(np.ndarray):
    def share_memory_(self) -> "Tensor":
        return self


@dataclass
class WorkerInfo:
    id: int
    num_workers: int


def make_torch() -> tuple[dict[str, ModuleType], SimpleNamespace]:
    """Make the modules, and where to say which worker is running.

    :return: Modules by name, and a namespace with ``worker``.
    """
    running = SimpleNamespace(worker=None)
    torch: Any = ModuleType("torch")
    torch.int64 = np.int64
    torch.zeros = lambda *shape, dtype: np.zeros(shape, dtype).view(Tensor)
    torch.from_numpy = lambda values: values.view(Tensor)
    torch.sparse_csr_tensor = lambda *parts, size, check_invariants: (*parts, size, check_invariants)
    data: Any = ModuleType("torch.utils.data")
    data.IterableDataset = IterableDataset
    data.get_worker_info = lambda: running.worker
    utils: Any = ModuleType("torch.utils")
    torch.utils, utils.data = utils, data
    return {"torch": torch, "torch.utils": utils, "torch.utils.data": data}, running
