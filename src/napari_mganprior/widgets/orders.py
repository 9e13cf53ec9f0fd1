"""The runs of a form: what each was asked, and where its result goes. No Qt, so it outlives it."""

from dataclasses import dataclass, replace
from typing import Any

from napari_mganprior.runs import RunRequest
from napari_mganprior.widgets.inputs import Inputs
from napari_mganprior.widgets.outcome import Wanted

__all__ = ["Order", "Orders"]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """One run, asked for.

    Attributes
    ----------
    request : RunRequest
        What the engine is asked.
    inputs : Inputs
        What was taken from the layers.
    wanted : Wanted
        What it shall bring.
    """

    request: RunRequest
    inputs: Inputs
    wanted: Wanted

    def again(self, request: RunRequest | None = None, **changes: Any) -> "Order":
        """Return an order of the same pixels, with another request or a changed one."""
        return replace(self, request=request or replace(self.request, **changes))


class Orders:
    """What waits, what is under way, and what could be gone on with or tried again.

    Attributes
    ----------
    now : Order or None
        Whose run is under way.
    ended : (Order, restoration) or None
        The last one that gave a result, until the next begins.
    failed : Order or None
        The last one that did not fit into memory, until another is added.
    """

    def __init__(self) -> None:
        self._waiting: list[Order] = []
        self.now: Order | None = None
        self.ended: tuple[Order, Any] | None = None
        self.failed: Order | None = None

    def add(self, order: Order) -> None:
        """Take note of a run before the controller hears of it."""
        self._waiting.append(order)

    def withdraw(self, order: Order) -> None:
        """Forget a run that the controller refused."""
        if order in self._waiting:
            self._waiting.remove(order)

    def begin(self, request: RunRequest) -> Order | None:
        """Take note that a run starts; None if it was never added."""
        if request.start is None:  # going on that is cancelled can be tried again
            self.ended = None
        self.now = next((order for order in self._waiting if order.request is request), None)
        if self.now is not None:
            self._waiting.remove(self.now)
        return self.now

    def end(self) -> Order | None:
        """Take note that the run under way has ended, and return what it was."""
        now, self.now = self.now, None
        return now

    def drop(self) -> None:
        """Forget the runs that wait."""
        self._waiting.clear()

    def let_go(self) -> None:
        """Forget all but the run under way: arrays, references, results."""
        self.drop()
        self.ended = self.failed = None
