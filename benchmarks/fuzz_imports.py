"""Damage files in every format, many thousand times, and import each: nothing may run or crash.

``make fuzz-imports`` takes ten minutes. The damage follows from the seed: bits flipped, pieces cut,
moved and doubled, pickle instructions exchanged and inserted (calls of ``os.system`` among them),
numbers replaced by extreme ones. What lies inside an archive is damaged there and packed again, so
that checksums hold. The files are opened in a child process (``guarded.py``); one that dies is
started again after the file that killed it, which is kept.
"""

import argparse
import io
import json
import pickletools
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from foreign_files import write_foreign_files
from guarded import MEMORY, Tripwire, limit_memory, try_file, warm_up

SLOW = 20.0  # s, for files of a few kilobytes
HUNG = 120.0  # s without a word from the child
WORD = 0.5  # s between two words of the child
NUMBERS = (0, 1, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def harmful(canary: Path) -> list[bytes]:
    """Return pieces of pickle that write the file ``canary`` where they are obeyed."""
    command = f"touch {canary}".encode()
    code = f"open({str(canary)!r}, 'w')".encode()
    return [
        b"cos\nsystem\n(S'" + command + b"'\ntR",
        b"cposix\nsystem\n(S'" + command + b"'\ntR",
        b"(S'" + command + b"'\nios\nsystem\n",
        b"(cos\nsystem\nS'" + command + b"'\no",
        b"c__builtin__\nexec\n(V" + code + b"\ntR",
        b"cbuiltins\neval\n(V" + code + b"\ntR",
        b"ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\nK\x00(K\x01t(K\x01ttR",
        b"ccollections\nOrderedDict\n)R}X\x04\x00\x00\x00evilK\x01sb",
        b"cfunctools\npartial\n(ccollections\nOrderedDict\ntR",
        b"\x82\x01",
    ]


def bits(data: bytearray, rng: random.Random) -> None:
    """Flip some bits."""
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def number(data: bytearray, rng: random.Random) -> None:
    """Put an extreme number somewhere."""
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(NUMBERS) % 256**size
    place = rng.randrange(max(1, len(data) - size))
    data[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


def cut(data: bytearray, rng: random.Random) -> None:
    """Take a piece away."""
    start = rng.randrange(len(data))
    del data[start : start + rng.choice((1, 2, 16, 256, len(data)))]


def double(data: bytearray, rng: random.Random) -> None:
    """Repeat a piece elsewhere."""
    start, length = rng.randrange(len(data)), rng.choice((1, 8, 64, 512))
    place = rng.randrange(len(data))
    data[place:place] = data[start : start + length] * rng.choice((1, 1, 2, 50))


def opcodes(data: bytearray, rng: random.Random, pieces: list[bytes]) -> None:
    """Damage a pickle between its instructions."""
    places = []
    try:
        for _, _, place in pickletools.genops(bytes(data)):
            places.append(place)
    except Exception:  # noqa: BLE001  damaged before: the part that can be read will do
        pass
    if len(places) < 2:
        bits(data, rng)
        return
    at = rng.randrange(len(places) - 1)
    place, after = places[at], places[at + 1]
    what = rng.randrange(5)
    if what == 0:
        data[place:place] = rng.choice(pieces)
    elif what == 1:
        del data[place:after]
    elif what == 2:
        data[place] = rng.choice(pickletools.opcodes).code.encode("latin-1")[0]
    elif what == 3:
        data[place:place] = data[place:after] * rng.choice((1, 2, 100))
    else:
        other = rng.randrange(len(places) - 1)
        data[place:after] = data[places[other] : places[other + 1]]


def damaged(data: bytes, rng: random.Random, others: list[bytes], pieces: list[bytes]) -> bytes:
    """Return a damaged copy of a file."""
    if data[:2] == b"PK" and rng.random() < 0.7:
        return inside(data, rng, lambda member: damage(member, rng, others, pieces))
    if data[8:9] == b"{" and rng.random() < 0.5:
        length = int.from_bytes(data[:8], "little")
        header = damage(data[8 : 8 + length], rng, others, pieces)
        return len(header).to_bytes(8, "little") + header + data[8 + length :]
    return damage(data, rng, others, pieces)


def damage(data: bytes, rng: random.Random, others: list[bytes], pieces: list[bytes]) -> bytes:
    """Damage bytes in one to four ways."""
    copy = bytearray(data or b"\0")
    ways: list[Callable[[bytearray, random.Random], None]] = [bits, number, cut, double]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not copy:
            break
        if (data[:1] == b"\x80" or data[:3] == b"(dp") and rng.random() < 0.7:
            opcodes(copy, rng, pieces)
            continue
        if rng.random() < 0.1:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            place = rng.randrange(len(copy))
            copy[place : place + rng.choice((0, 16, 256))] = other[start : start + 256]
            continue
        rng.choice(ways)(copy, rng)
    return bytes(copy)


def inside(data: bytes, rng: random.Random, change: Callable[[bytes], bytes]) -> bytes:
    """Damage one member of an archive, most often the table of contents, and pack it again."""
    buffer = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # two members of one name are meant
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(buffer, "w") as new,
    ):
        names = old.namelist()
        index = [name for name in names if name.endswith("data.pkl")]
        chosen = index[0] if index and rng.random() < 0.8 else rng.choice(names)
        for item in old.infolist():
            body = old.read(item)
            name = item.filename
            if name == chosen:
                body = change(body)
                if rng.random() < 0.05:
                    name = rng.choice(("/etc/x", "../x", "C:\\x", "a/../../x", names[0]))
            packing = rng.choice((item.compress_type, zipfile.ZIP_DEFLATED))
            new.writestr(zipfile.ZipInfo(name), body, packing)
    return buffer.getvalue()


def child(folder: Path, seed: int, first: int, seconds: float) -> int:
    """Damage and import files until the time is over; print a line of JSON every now and then."""
    warm_up()
    paths = write_foreign_files(folder)
    originals = {name: path.read_bytes() for name, path in paths.items()}
    canary = folder / "canary"
    pieces, others = harmful(canary), list(originals.values())
    tripwire = Tripwire()
    limit_memory()
    counts: Counter[tuple[str, str]] = Counter()
    said, end, slowest, index = time.monotonic(), time.monotonic() + seconds, 0.0, first
    result: dict[str, Any] = {"peak": 0}
    while time.monotonic() < end:
        rng = random.Random(f"{seed} {index}")
        name = rng.choice(list(originals))
        path = folder / f"case{paths[name].suffix}"
        path.write_bytes(damaged(originals[name], rng, others, pieces))
        if time.monotonic() - said > WORD:
            say(counts, index, slowest, result["peak"])
            said = time.monotonic()
        result = try_file(path, tripwire)
        slowest = max(slowest, result["seconds"])
        outcome = "tripped" if canary.exists() else result["outcome"]
        outcome = "slow" if result["seconds"] > SLOW else outcome
        if "\n" in result["message"] or (outcome != "drawn" and not result["message"]):
            outcome = "wordless"
        if "unforeseen" in result["message"]:
            outcome = "crashed"
        counts[name, outcome] += 1
        index += 1
        if outcome in ("tripped", "crashed", "slow", "wordless"):
            kept = folder / f"found-{index - 1}{path.suffix}"
            kept.write_bytes(path.read_bytes())
            print(json.dumps({"found": str(kept), **result, "outcome": outcome}), flush=True)
    say(counts, index, slowest, result["peak"])
    return 0


def say(counts: Counter[tuple[str, str]], index: int, slowest: float, peak: int) -> None:
    """Tell the parent what was counted since the last word."""
    rows = [[*key, n] for key, n in counts.items()]
    print(json.dumps({"next": index, "counts": rows, "slowest": slowest, "peak": peak}), flush=True)
    counts.clear()


class Watch:
    """The child seen from outside: what it counted, and whether it lives."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.counts: Counter[tuple[str, str]] = Counter()
        self.found: list[dict[str, Any]] = []
        self.next, self.slowest, self.peak = 0, 0.0, 0

    def run(self, seconds: float) -> None:
        """Run children until the time is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            arguments = ["--child", self.folder, "--seed", self.seed, "--first", self.next]
            command = [sys.executable, __file__, *map(str, arguments), "--seconds", str(left)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            why = self._listen(process)
            if why:
                kept = self.folder / f"died-{len(self.found)}"
                cases = sorted(self.folder.glob("case*"), key=lambda path: path.stat().st_mtime)
                kept.write_bytes(cases[-1].read_bytes() if cases else b"")
                self.found.append({"found": str(kept), "outcome": why, "message": cases[-1:]})
                self.next += 1_000  # past the case, which is among the next few hundred

    def _listen(self, process: subprocess.Popen[str]) -> str:
        lines: Queue[str] = Queue()

        def pump() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)

        reader = threading.Thread(target=pump, daemon=True)
        reader.start()
        heard = time.monotonic()
        while reader.is_alive() or not lines.empty():
            try:
                self._note(json.loads(lines.get(timeout=0.2)))
                heard = time.monotonic()
            except Empty:
                if time.monotonic() - heard > HUNG:
                    process.kill()
                    process.wait()
                    return "hung"
        return f"died with {process.wait()}" if process.wait() else ""

    def _note(self, word: dict[str, Any]) -> None:
        if "found" in word:
            self.found.append(word)
            return
        self.next = word["next"]
        self.slowest = max(self.slowest, word["slowest"])
        self.peak = max(self.peak, word["peak"])
        for name, outcome, n in word["counts"]:
            self.counts[name, outcome] += n


def report(watch: Watch) -> None:
    """Print a table: formats down, outcomes across."""
    outcomes = sorted({outcome for _, outcome in watch.counts})
    print(f"{'format':16}" + "".join(f"{outcome:>10}" for outcome in outcomes))
    for name in sorted({name for name, _ in watch.counts}):
        cells = "".join(f"{watch.counts[name, outcome]:10,}" for outcome in outcomes)
        print(f"{name:16}{cells}")
    total = sum(watch.counts.values())
    print(
        f"{total:,} files, seed {watch.seed}; slowest {watch.slowest:.2f} s, peak memory "
        f"{watch.peak / 1e6:.0f} MB; {len(watch.found)} findings"
    )
    for finding in watch.found:
        print(json.dumps(finding, default=str))


def main(argv: list[str] | None = None) -> int:
    """Run; the exit code is 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--keep", type=Path, help="folder for files that were found")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        return child(args.child, args.seed, args.first, args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
        watch = Watch(args.keep or Path(folder), args.seed)
        watch.run(args.seconds)
        report(watch)
    return 1 if watch.found or not watch.counts or watch.peak > MEMORY else 0


if __name__ == "__main__":
    raise SystemExit(main())
