"""The thread that labels: takes the newest cloud, labels and publishes it, and counts the outcome."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any

from pvd_ros.codec import MalformedCloudError, stamp_of
from pvd_ros.labeller import CloudLabeller, LabelledCloud
from pvd_ros.node.mailbox import LatestMailbox
from pvd_ros.node.spare_memory import SpareMemory
from pvd_ros.report.counters import CloudCounters
from pvd_ros.report.latency import LatencyWindow

# A stamp this far in the past, or in the future, is taken for that of another clock: of a bag that is played with its
# old stamps, or no stamp at all.
FOREIGN_STAMP_S = 600


class LabellingWorker:
    """Labels the clouds it is offered, one at a time, in a thread of its own. An exception while labelling a cloud is
    logged and counted, and the thread goes on.

    publish(LabelledCloud) sends the result; after_publish(LabelledCloud, timings_ms) sends what goes with it.
    is_wanted() says whether a cloud is to be labelled, is_due() whether it may be by now. now_ns() is the time by the
    clock of header stamps.
    log(level, text) writes to the node's log. All are called in the worker's thread. `said` collects what is said of
    clouds.
    """

    def __init__(
        self,
        labeller: CloudLabeller,
        counters: CloudCounters,
        window: LatencyWindow,
        *,
        publish: Callable[[LabelledCloud], None],
        after_publish: Callable[[LabelledCloud, dict[str, float]], None],
        is_wanted: Callable[[], bool],
        now_ns: Callable[[], int],
        log: Callable[[str, str], None],
        is_due: Callable[[], bool] = lambda: True,
        said: list[str] | None = None,
    ) -> None:
        self._labeller, self._counters, self._window = labeller, counters, window
        self._publish, self._after_publish = publish, after_publish
        self._is_wanted, self._is_due, self._now_ns, self._log = is_wanted, is_due, now_ns, log
        self._spare_memory = SpareMemory()
        self._said = [] if said is None else said
        self._mailbox: LatestMailbox[tuple[Any, float]] = LatestMailbox(labeller.num_past)
        self._thread = Thread(target=self._run, name="labelling", daemon=True)
        self._thread.start()

    @property
    def remarks(self) -> list[str]:
        """Sentences on what is not as networks expect it in the cloud that was looked at last."""
        return self._labeller.stream.remarks

    def offer(self, message: Any) -> bool:
        """Hands over a PointCloud2 without waiting; returns whether it replaced an older one that still waited."""
        return self._mailbox.put((message, time.perf_counter()))

    def stop(self) -> None:
        """Ends the thread once the clouds offered so far are labelled."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while items := self._mailbox.take():
            *dropped, (message, arrival) = items
            num_bytes = len(message.data)
            try:
                self._remember(each for each, _ in dropped)
                self._work(message, arrival)
            except MalformedCloudError as error:
                self._reject(error.reason, "warning", f"cloud rejected ({error.reason}): {error}")
            except Exception:  # the node must outlive whatever one cloud does to it
                self._reject("internal_error", "error", f"labelling a cloud failed:\n{traceback.format_exc()}")
            del items, dropped, message
            self._spare_memory.after_cloud(num_bytes)

    def _remember(self, messages: Iterable[Any]) -> None:
        """Clouds that are not labelled are past ones all the same: else a busy node would take older ones."""
        for message in messages:
            with contextlib.suppress(MalformedCloudError):  # counted already, as dropped or skipped
                self._labeller.remember(message)

    def _work(self, message: Any, arrival: float) -> None:
        if not self._is_wanted():
            self._counters.skipped += 1
            return
        if not self._is_due():
            self._counters.skipped += 1
            self._counters.rate_limited += 1
            self._remember([message])
            return
        start = time.perf_counter()
        labelled = self._labeller.label(message)
        encoded = time.perf_counter()
        self._publish(labelled)
        end = time.perf_counter()
        timings_ms = {
            "queue": 1e3 * (start - arrival),
            **{stage: spent_ms for stage, spent_ms in labelled.timings_ms.items() if stage != "total"},
            "publish": 1e3 * (end - encoded),
            "total": 1e3 * (end - start),
            **self._stamp_to_publish(message),
        }
        self._counters.labelled += 1
        self._window.record(timings_ms)
        self._after_publish(labelled, timings_ms)
        self._note(labelled)

    def _stamp_to_publish(self, message: Any) -> dict[str, float]:
        since_stamp_ms = (self._now_ns() - stamp_of(message)) / 1e6
        if 0 <= since_stamp_ms < 1e3 * FOREIGN_STAMP_S:
            return {"stamp_to_publish": since_stamp_ms}
        self._counters.foreign_stamps += 1
        return {}

    def _note(self, labelled: LabelledCloud) -> None:
        remarks = self._labeller.remarks_on(labelled)
        for level, text in [("info", labelled.note), *(("warning", remark) for remark in remarks)]:
            if text and text not in self._said:  # as of clouds without points in several frames
                self._said.append(text)
                self._log(level, text)

    def _reject(self, reason: str, level: str, text: str) -> None:
        self._counters.rejected[reason] += 1
        count = self._counters.rejected[reason]
        # Only the first, 10th, 100th... of each reason is logged, so that a broken sensor does not fill the log.
        if count == 10 ** (len(str(count)) - 1):
            self._log(level, f"{text} (number {count} of this kind)")
