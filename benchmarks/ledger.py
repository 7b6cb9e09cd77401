"""Durable charges per second, one writer and four, on an empty ledger and on a long one.

Run ``python benchmarks/ledger.py [FOLDER]``. Every charge is on the disk when it is counted, so
the disk sets the pace: its fsyncs per second, and a plain SQLite insert with the same durability,
are measured in the same run, in turns, in the same folder. A disk that others use is slower.
"""

import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from _environment import environment

from skdistill.accounting import ledger_file
from skdistill.accounting.composition import Charge, Totals
from skdistill.accounting.ledger import PrivacyLedger

CAP = {"epsilon": 1e6, "delta": 1e-6}
AMOUNT = 1e-3
LONG = 1_000_000
REPEATS, SLICE = 5, 1.0  # slices of a second, taken in turns
WRITERS, SECONDS = 4, 5.0


def rate(call, seconds):
    """Return calls per second."""
    count, began = 0, time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        call()
        count += 1
    return count / (now - began)


def fsync_loop(path):
    """Return a call that appends a page to a file and flushes it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    page = bytes(4096)

    def call():
        os.write(descriptor, page)
        os.fsync(descriptor)

    return call


def plain_insert(path):
    """Return a call that inserts a row as SQLite's manual would: busy_timeout and BEGIN IMMEDIATE.

    It reads the last row and writes one more, as a ledger must, and does nothing else.
    """
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, row TEXT)")
    row = "x" * 250

    def call():
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT row FROM t ORDER BY n DESC LIMIT 1").fetchall()
        connection.execute("INSERT INTO t (row) VALUES (?)", (row,))
        connection.execute("COMMIT")

    return call


def ledger_charge(path):
    """Return a call that charges a ledger."""
    ledger = PrivacyLedger(path, **CAP)
    return lambda: ledger.spend(AMOUNT, 0)


def write_for(make, path, go, counts, name):
    """Count the calls that one of several writers gets through."""
    call = make(path)
    go.wait()
    counts[name] = rate(call, SECONDS)


def several_writers(make, path):
    """Return the rates of processes that write to one file at the same time."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        counts, go = manager.dict(), context.Barrier(WRITERS)
        writers = [
            context.Process(target=write_for, args=(make, path, go, counts, name))
            for name in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        return [counts[name] for name in range(WRITERS)]


def long_ledger(path):
    """Make a ledger of many charges, in one transaction (charge by charge it takes long)."""
    ledger = PrivacyLedger(path, **CAP)
    store, tip = ledger._store, ledger._store.tip()
    charge, totals = Charge.spend(AMOUNT, 0), Totals.zero()
    execute = store._connection.execute
    with store.writer.held():
        execute("BEGIN IMMEDIATE")
        for _ in range(LONG):
            totals = totals.add(charge)
            tip = store._insert(
                tip,
                ledger_file.Entry(
                    kind="pure",
                    epsilon=AMOUNT,
                    totals=totals.to_text(),
                    cap_epsilon=CAP["epsilon"],
                    cap_delta=CAP["delta"],
                ),
            )
        execute("COMMIT")
        store.head.write(ledger_file.Mark(tip.n, tip.hash, store.identity))


def opening(path):
    """Return the seconds that opening a ledger takes, in a process that has it not open."""
    began = time.perf_counter()
    ledger = PrivacyLedger(path, **CAP)
    total = ledger.total()
    seconds = time.perf_counter() - began
    assert total[0] >= 0
    return seconds, len(ledger)


def main():
    print(environment())
    print(f"SQLite {sqlite3.sqlite_version}")
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        print(f"\none writer, median (least, most) of {REPEATS} slices of {SLICE:g} s, per second")
        began = time.perf_counter()
        long_ledger(folder / "long.db")
        made = time.perf_counter() - began
        size = (folder / "long.db").stat().st_size / 2**20
        contestants = {
            "write 4 kB and fsync": fsync_loop(folder / "raw"),
            "plain SQLite insert, WAL, synchronous=FULL": plain_insert(folder / "plain.db"),
            "ledger, empty": ledger_charge(folder / "empty.db"),
            f"ledger of {LONG:,} charges": ledger_charge(folder / "long.db"),
        }
        rates = {contestant: [] for contestant in contestants}
        for _ in range(REPEATS):
            for contestant, call in contestants.items():
                rates[contestant].append(rate(call, SLICE))
        for contestant, found in rates.items():
            middle = statistics.median(found)
            print(f"{contestant:44}{middle:8.0f}  ({min(found):.0f}, {max(found):.0f})")
        contestants.clear()
        del call  # the ledgers are closed

        print(f"\nopening a ledger and reading its total, median of {REPEATS}, milliseconds")
        for ledger in ("empty.db", "long.db"):
            found = [opening(folder / ledger) for _ in range(REPEATS)]
            seconds = statistics.median(second for second, _ in found)
            print(f"{found[0][1]:>12,} charges {1000 * seconds:10.1f}")
        print(f"(the long one, {size:.0f} MiB, was made in {made:.0f} s)")

        print(f"\n{WRITERS} writers for {SECONDS:g} s, per second and writer")
        for contestant, make in {
            "plain SQLite insert": plain_insert,
            "ledger": ledger_charge,
        }.items():
            for _ in range(2):
                found = several_writers(make, folder / f"{make.__name__}.db")
                print(f"{contestant:24}" + "".join(f"{x:8.0f}" for x in sorted(found)))


if __name__ == "__main__":
    main()
