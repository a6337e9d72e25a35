"""The one thread that labels: takes the newest cloud, publishes it labelled, and counts what became of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from threading import Thread

from pvd_core.clouds.intensity import remark_on_intensity
from pvd_ros.bags.types import stamp_of
from pvd_ros.codec import DecodedCloud, MalformedCloudError
from pvd_ros.counters import CloudCounters
from pvd_ros.labeller import CloudLabeller, LabelledCloud
from pvd_ros.latency import LatencyWindow
from pvd_ros.mailbox import LatestMailbox

# A stamp further from this clock than that is of another clock: a bag played with its old stamps, or no stamp at all.
FOREIGN_STAMP_S = 600


class LabellingWorker:
    """Owns the mailbox and its thread. Nothing raised by a cloud leaves the thread.

    publish(LabelledCloud) sends the result, after_publish(LabelledCloud, timings_ms) whatever belongs to it;
    is_wanted() says whether anybody listens; now_ns() is the clock of header stamps; log(level, text) the node's log.
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
    ):
        self.remarks: list[str] = []
        self._labeller, self._counters, self._window = labeller, counters, window
        self._publish, self._after_publish = publish, after_publish
        self._is_wanted, self._now_ns, self._log = is_wanted, now_ns, log
        self._mailbox: LatestMailbox = LatestMailbox()
        self._thread = Thread(target=self._run, name="labelling", daemon=True)
        self._thread.start()

    def offer(self, message) -> bool:
        """Hand over a message, at once; True if it pushed out an older one that nobody had begun to label."""
        return self._mailbox.put((message, time.perf_counter()))

    def stop(self) -> None:
        """Return when the clouds handed over so far are done."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        while (item := self._mailbox.take()) is not None:
            message, arrival = item
            try:
                self._work(message, arrival)
            except MalformedCloudError as error:
                self._reject(error.reason, "warning", f"cloud rejected ({error.reason}): {error}")
            except Exception:  # the node must outlive whatever one cloud does to it
                self._reject("internal_error", "error", f"labelling a cloud failed:\n{traceback.format_exc()}")

    def _work(self, message, arrival: float) -> None:
        if not self._is_wanted():
            self._counters.skipped += 1
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
        self._note_intensity(labelled.cloud)
        self._after_publish(labelled, timings_ms)

    def _stamp_to_publish(self, message) -> dict[str, float]:
        since_stamp_ms = (self._now_ns() - stamp_of(message)) / 1e6
        if 0 <= since_stamp_ms < 1e3 * FOREIGN_STAMP_S:
            return {"stamp_to_publish": since_stamp_ms}
        self._counters.foreign_stamps += 1
        return {}

    def _note_intensity(self, cloud: DecodedCloud) -> None:
        """Degraded input is labelled, and said."""
        if len(cloud.points) and not cloud.has_intensity:
            remark = "clouds have no intensity: labels are less accurate"
        else:
            remark = remark_on_intensity(cloud.points, "intensity_scale")
        if remark and not self.remarks:
            self._log("warning", remark)
        self.remarks = [remark] if remark else []

    def _reject(self, reason: str, level: str, text: str) -> None:
        self._counters.rejected[reason] += 1
        count = self._counters.rejected[reason]
        # The first, the 10th, the 100th...: one log line a cause, however long the sensor misbehaves.
        if count == 10 ** (len(str(count)) - 1):
            self._log(level, f"{text} (number {count} of this kind)")
