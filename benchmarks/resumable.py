"""Run many small jobs in two processes, keep every row at once, and go on where it stopped."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["read_rows", "run_jobs"]

Job = dict[str, Any]
Row = dict[str, Any]
_FILE = "rows.jsonl"


def read_rows(folder: Path) -> list[Row]:
    """Return the rows kept in a work folder; a line that was cut off is left out."""
    path = folder / _FILE
    if not path.exists():
        return []
    found: dict[str, list[Row]] = {}
    for line in path.read_text("utf-8").splitlines():
        try:
            kept = json.loads(line)
        except ValueError:
            continue
        found[kept["key"]] = kept["rows"]
    return [row for rows in found.values() for row in rows]


def run_jobs(
    jobs: Iterable[Job],
    work: Callable[[Job], list[Row]],
    folder: Path,
    *,
    processes: int = 2,
    minutes: float | None = None,
) -> int:
    """Do what is not done yet.

    Parameters
    ----------
    jobs : iterable of dict
        JSON-able; each with a "key" that says all it depends on.
    work : callable
        A function of a module: from a job to its rows. An exception becomes a printed line, and
        the job is tried again in the next run.
    folder : Path
        Where rows are kept.
    processes : int
        How many at once.
    minutes : float, optional
        No new job is begun after so long.

    Returns
    -------
    int
        How many jobs are left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    done = set()
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            try:
                done.add(json.loads(line)["key"])
            except (ValueError, KeyError):
                continue
    todo = [job for job in jobs if job["key"] not in done]
    started = time.monotonic()
    print(f"{len(todo)} jobs to do, {len(done)} done before", flush=True)
    finished = 0
    # "spawn": torch's threads do not survive a fork
    with multiprocessing.get_context("spawn").Pool(processes) as pool, path.open("a") as file:
        waiting = iter(todo)
        running: list[tuple[Job, Any]] = []
        while True:
            in_time = minutes is None or time.monotonic() - started < 60 * minutes
            while len(running) < processes and in_time:
                job = next(waiting, None)
                if job is None:
                    break
                running.append((job, pool.apply_async(work, (job,))))
            if not running:
                break
            ready = [pair for pair in running if pair[1].ready()]
            if not ready:
                time.sleep(0.05)
                continue
            for job, answer in ready:
                running.remove((job, answer))
                finished += _keep(job, answer, file)
                spent = (time.monotonic() - started) / 60
                left = spent / max(finished, 1) * (len(todo) - finished)
                print(
                    f"{finished}/{len(todo)}  {spent:.1f} min, about {left:.0f} more  "
                    f"{job['key'].rpartition('/v')[0] or job['key']}",
                    flush=True,
                )
    return len(todo) - finished


def _keep(job: Job, answer: Any, file: Any) -> int:
    try:
        rows = answer.get()
    except Exception as error:  # noqa: BLE001  one job must not end a night's work
        print(f"FAILED {job['key']}: {type(error).__name__}: {error}", flush=True)
        return 0
    file.write(json.dumps({"key": job["key"], "rows": rows}) + "\n")
    file.flush()
    return 1
