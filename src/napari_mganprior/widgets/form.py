"""The form of a task, a dock widget: choose a picture, press Run, get a new layer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from napari.components import ViewerModel
from napari.utils.notifications import show_error
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QTimer, Signal  # type: ignore[attr-defined]  # renamed by qtpy
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_mganprior import settings
from napari_mganprior.errors import MGANPriorError, OutOfMemoryError, SettingsError
from napari_mganprior.runs import OpenTask, RunController, RunRequest, RunResult
from napari_mganprior.runs.opening import open_task
from napari_mganprior.runs.tasks import TASKS, find_task
from napari_mganprior.widgets.activity import Activity
from napari_mganprior.widgets.asking import find_fault, take_request
from napari_mganprior.widgets.blink import Showing
from napari_mganprior.widgets.fields import TaskFields
from napari_mganprior.widgets.inputs import (
    Choice,
    Inputs,
    describe_choice,
)
from napari_mganprior.widgets.orders import Order, Orders
from napari_mganprior.widgets.outcome import Wanted, show_result
from napari_mganprior.widgets.preferences import current_preferences, obey
from napari_mganprior.widgets.preview import LivePreview
from napari_mganprior.widgets.quality import QualityHints
from napari_mganprior.widgets.region import IN_VIEW
from napari_mganprior.widgets.result_row import ResultRow, tell_loaded
from napari_mganprior.widgets.results import add_mask
from napari_mganprior.widgets.retry import ran_on_cpu
from napari_mganprior.widgets.run_panel import RunPanel
from napari_mganprior.widgets.scroll import FieldScroll
from napari_mganprior.widgets.watch import ViewerWatch

__all__ = ["TaskForm"]

_CHECK_MS = 150
_LEAVE_SECONDS = 1.0


class TaskForm(QWidget):
    """What the forms of all tasks share; a leaf says which task it is, and what only it has.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Whose layers are offered, and where the result goes.
    open_task : callable, optional
        Makes the task from a `RunRequest`, in the run's thread.
    remember : callable, optional
        Called with the form's settings when Run is pressed.
    recall : callable, optional
        Returns settings that were remembered.

    Attributes
    ----------
    task : str
        Its name.
    help_topic : str
        Where the guide explains it.
    fields : TaskFields
        What the user chooses.
    panel : RunPanel
        Buttons, progress and status.
    results : ResultRow
        What can be done with a result.
    blink : BlinkButton
        Before and after; one of `results`.
    continue_button : QPushButton
        Goes on from the last result; one of `results`.
    times : QualityHints
        The seconds beside the qualities.
    controller : RunController
        The runs.
    result_added : Signal
        With the image layer of a result, once it is in the viewer.
    """

    task: ClassVar[str]
    help_topic: ClassVar[str]
    result_added = Signal(object)
    _docked = _closed = False

    def __init__(
        self,
        napari_viewer: ViewerModel,
        open_task: OpenTask = open_task,
        *,
        remember: Callable[[dict[str, Any]], object] | None = None,
        recall: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.spec = find_task(self.task)
        self._viewer = napari_viewer
        self._remember = partial(settings.remember, self.task) if remember is None else remember
        self._orders = Orders()
        self._preview = LivePreview(napari_viewer)
        self.controller = RunController(open_task)
        # Nothing a child holds may hold this widget: a closed form is to be freed at once, here,
        # not later by Python's collector in a thread that computes, which Qt does not survive.
        self.fields = TaskFields(partial(list, napari_viewer.layers), self.task)
        self.times = QualityHints(self.fields, napari_viewer, self)
        self.panel = RunPanel(self.controller, does=self.spec.help)
        self._activity = Activity(self.controller, self.spec.title)
        self.results = ResultRow(napari_viewer, self.help_topic)
        self.blink, self.continue_button = self.results.blink, self.results.continue_button
        self._lay_out()
        self._check_timer = QTimer(self)
        self._check_timer.setSingleShot(True)
        self._check_timer.setInterval(_CHECK_MS)
        self._check_timer.timeout.connect(self.check)
        self._watch = ViewerWatch(napari_viewer, self._on_event)
        self._connect()
        self.reset_choices()
        self.fields.choose(napari_viewer.layers.selection.active, asked=False)
        last = settings.recall(self.task) if recall is None else recall()
        prior = current_preferences().default_prior
        if self.spec.prior != TASKS["inpaint"].prior:  # it needs one of another kind
            prior = self.spec.prior
        self.fields.restore({"prior": prior, **last})
        # Nothing here may hold this widget: it is gone when the signal arrives.
        leaving = (self.controller, self._watch, self.blink.showing, self._activity, self._orders)
        self.times.refresh()
        self.destroyed.connect(partial(_leave, *leaving))
        self.check()

    def reset_choices(self, event: Any = None) -> None:
        """Offer the layers there are now; napari calls it when they change."""
        if self._watch.closed:
            return
        self.fields.refresh_layers()
        self.results.refresh()
        self._watch_layers()
        self._check_soon()

    def check(self) -> str:
        """Grey the Run button, or not, and say why.

        Returns
        -------
        str
            The reason; empty if a run can start.
        """
        if self._watch.closed:
            return ""
        fault = self._find_fault()
        note = "" if fault else self._describe(self.fields.choice())
        self.panel.set_fault(fault, note or "Ready.")
        self.times.refresh()
        return fault

    def add_mask(self) -> None:
        """Add an empty labels layer that fits the image, choose it, and take up its brush."""
        if self.fields.image.value is not None:
            layer = add_mask(self._viewer, self.fields.image.value)
            self.reset_choices()
            self.fields.choose(layer)

    def request(self) -> tuple[RunRequest, Inputs, Wanted]:
        """Take what a run needs, as the form says now.

        Returns
        -------
        RunRequest
            What the engine is asked.
        Inputs
            What was taken from the layers.
        Wanted
            What the run shall bring besides its result.

        Raises
        ------
        MGANPriorError
            If no run can start; the message is that beside the greyed Run button.
        """
        fault = self._find_fault()
        if fault:
            raise SettingsError(fault)
        return take_request(self.fields, self._viewer)

    def run(self) -> None:
        """Start a run from what the form says, or let it wait for those before it."""
        self.reset_choices()
        if self.check():
            return
        try:
            order = Order(*self.request())
        except MGANPriorError as error:
            self._tell(error)
            return
        self._remember(self.fields.state())
        self._enqueue(order)

    def go_on(self) -> None:
        """Run the last request again, from the result it gave; the new one gets its own layer."""
        if self._orders.ended is not None and not self.controller.busy:
            order, restoration = self._orders.ended
            self._enqueue(order.again(start=restoration))

    def load_settings(self, state: Mapping[str, Any], name: str) -> None:
        """Set the form to what a result was made with, and say what it has not got."""
        made_by = find_task(str(state.get("task", "inpaint")))
        if made_by is not self.spec:
            self.panel.say(
                f"'{name}' is a result of {made_by.title}; wanted one of {self.spec.title}. Open "
                f"the form {made_by.title}, or choose another layer."
            )
            return
        # a recipe does not say what was left as it is
        state = {"options": {}, "overrides": {}, "pick": "average", **state}
        state = {key: value for key, value in state.items() if key != "task"}
        self.fields.restore(state)
        self.check()
        if not self.controller.busy:
            wanted = {key: value for key, value in state.items() if value != {}}
            self.panel.say(tell_loaded(name, wanted, self.fields.state()))

    def retry_smaller(self) -> None:
        """Run what did not fit into memory again, with a smaller setting."""
        failed = self._orders.failed
        smaller = None if failed is None else failed.request.smaller()
        if failed is not None and smaller is not None:
            self._enqueue(failed.again(smaller))

    def retry_on_cpu(self) -> None:
        """Run what did not fit into memory again, on the processor."""
        if self._orders.failed is not None:
            self._enqueue(self._orders.failed.again(device="cpu"))

    def event(self, event: QEvent | None) -> bool:
        """Cancel the run when the dock is closed; look again when the mouse comes in."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.controller.clear_queue()
                self.controller.cancel()
                self.blink.stop()
                self.results.close_recipe()
                self._let_go()
            self._closed = self._docked and self.parent() is None
            self._docked = self.parent() is not None
        elif event is not None and event.type() in (QEvent.Type.Enter, QEvent.Type.Show):
            # Labels written by a script send no event; a new prior's file neither.
            self.fields.refresh_priors()
            self._check_soon()
        return bool(super().event(event))

    def _connect(self) -> None:
        self.fields.new_requested.connect(self.add_mask)
        self.fields.changed.connect(self._on_field_changed)
        self.panel.run_requested.connect(self.run)
        self.panel.queue_dropped.connect(self._orders.drop)
        self.panel.retry.smaller_requested.connect(self.retry_smaller)
        self.panel.retry.cpu_requested.connect(self.retry_on_cpu)
        self.continue_button.clicked.connect(self.go_on)
        self.results.load_requested.connect(self.load_settings)
        self.controller.started.connect(self._on_started)
        self.controller.previewed.connect(self._on_previewed)
        self.controller.finished.connect(self._on_finished)
        self.controller.failed.connect(self._on_failed)
        self.controller.cancelled.connect(self._on_cancelled)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(FieldScroll(self.fields))
        layout.addWidget(self.panel)  # outside: Cancel must never be scrolled away
        layout.addWidget(self.results)
        if (more := self._more()) is not None:
            layout.addWidget(more)
        layout.addStretch(1)

    def _watch_layers(self) -> None:
        fields = self.fields
        region = fields.region.value
        chosen = [fields.image.value, fields.labels.value, fields.reference.value]
        if region is not None and not isinstance(region, str):
            chosen.append(region)
        self._watch.follow(chosen, view=region == IN_VIEW)

    def _on_event(self, layers_changed: bool) -> None:
        if layers_changed:
            self.reset_choices()
        else:
            self.results.refresh()
            self._check_soon()

    def _on_field_changed(self) -> None:
        self._watch_layers()
        if not self.controller.busy:
            self.panel.say("")  # the word about the last run is old now
        self.check()

    def _check_soon(self) -> None:
        if not self._check_timer.isActive():
            self._check_timer.start()

    def _find_fault(self) -> str:
        choice = self.fields.choice()
        fault = find_fault(self.fields, choice, self._viewer)
        return fault or self._find_own_fault(choice)

    def _find_own_fault(self, choice: Choice) -> str:
        """Find what only this task has to refuse, as far as that is cheap."""
        return ""

    def _describe(self, choice: Choice) -> str:
        """Say what is good to know before a run."""
        return describe_choice(choice, self._viewer)

    def _more(self) -> QWidget | None:
        """Return what only this task has besides its fields."""
        return None

    def _on_result(self, restoration: Any) -> None:
        """Take what only this task needs of a result."""

    def _enqueue(self, order: Order) -> None:
        self._orders.add(order)
        self._orders.failed = None
        self.panel.retry.offer(smaller=False, cpu=False)
        obey(current_preferences(), self.controller)
        try:
            self.controller.enqueue(order.request)
        except MGANPriorError as error:
            self._orders.withdraw(order)
            self._tell(error)

    def _on_started(self, request: RunRequest) -> None:
        self._orders.begin(request)
        self._preview.begin()
        self.times.begin()
        self.continue_button.setEnabled(False)

    def _on_previewed(self, image: NDArray[Any]) -> None:
        if self._orders.now is not None:
            self._preview.show(self._orders.now.inputs, image)

    def _on_finished(self, result: RunResult) -> None:
        self.times.end(result)
        order = self._end_run()
        if order is None:
            return
        layers, said = show_result(self._viewer, order.inputs, result, order.wanted)
        if not self._closed:
            self._orders.ended = order, result.restoration
            self.continue_button.setEnabled(True)
        self._on_result(result.restoration)
        self.blink.add(layers)
        self.panel.say(" ".join(filter(None, (said, result.note))))
        self.result_added.emit(layers[0])

    def _on_failed(self, error: MGANPriorError) -> None:
        self.times.end()
        order = self._end_run()
        if order is not None and isinstance(error, OutOfMemoryError):
            smaller = order.request.smaller() is not None
            cpu = not ran_on_cpu(order.request, error)
            self._orders.failed = order if smaller or cpu else None
            self.panel.retry.offer(smaller=smaller, cpu=cpu)
        self._tell(error)

    def _on_cancelled(self) -> None:
        self.times.end()
        self._end_run()
        self.panel.say("Cancelled; nothing was changed.")

    def _end_run(self) -> Order | None:
        self._preview.end()
        self.continue_button.setEnabled(self._orders.ended is not None and not self._closed)
        return self._orders.end()

    def _let_go(self) -> None:
        """Forget what could be gone on with: the widget is closed."""
        self._orders.let_go()
        self.continue_button.setEnabled(False)
        self.panel.retry.offer(smaller=False, cpu=False)

    def _tell(self, error: MGANPriorError) -> None:
        self.panel.say(str(error))
        show_error(str(error))


def _leave(
    controller: RunController,
    watch: ViewerWatch,
    showing: Showing,
    activity: Activity,
    orders: Orders,
    *_: object,
) -> None:
    watch.closed = True
    showing.end()
    activity.close()
    controller.close(_LEAVE_SECONDS)
    orders.let_go()
    orders.end()
