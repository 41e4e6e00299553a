"""Batches made ahead of the steps that take them, in threads, so that a GPU need not wait."""

from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from streamsr.core.closing import Closing
from streamsr.train.data import Crops

__all__ = ["Ahead"]


class Ahead(Closing):
    """Gives the batches of ``crops`` step after step, ``workers`` of them under way; 0: none.

    A batch depends on its step alone, so that they are the same in any number of threads.
    ``with`` it: leaving ends the threads.
    """

    def __init__(self, crops: Crops, workers: int) -> None:
        self._crops = crops
        self._workers = workers
        self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="crops")
        self._coming: dict[int, Future[tuple[Tensor, Tensor]]] = {}

    def close(self) -> None:
        """End the threads; what they have not begun is not made."""
        self._pool.shutdown(cancel_futures=True)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of ``step``; those after it are begun."""
        if not self._workers:
            return self._crops.at(step)
        for coming in range(step, step + self._workers + 1):
            if coming not in self._coming:
                self._coming[coming] = self._pool.submit(self._crops.at, coming)
        return self._coming.pop(step).result()
