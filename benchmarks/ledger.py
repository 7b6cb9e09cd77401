"""Durable charges per second, one writer and four, on an empty ledger and on a long one.

Run ``python benchmarks/ledger.py [FOLDER]``. Every charge is on the disk when it is counted, so
the disk sets the pace. A plain SQLite insert with the same durability (rollback journal,
``synchronous=EXTRA``) is measured in the same run, in turns, in the same folder; and one with a
write-ahead log, which flushes once instead of four times. A disk that others use is slower.

At last a grid search, with a ledger and without one, in turns.
"""

import contextlib
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

from _environment import environment
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skdistill import NewtonClassifier, PrivateDistiller, ResidualRounds, TeacherEnsemble
from skdistill.accounting import PrivacyLoss, ledger_file
from skdistill.accounting.ledger import PrivacyLedger
from skdistill.accounting.ledger_file import Row

CAP = {"epsilon": 1e6, "delta": 1e-6, "pure": 1e6}
AMOUNT = 1e-3
LONG = 1_000_000
REPEATS, SLICE = 5, 1.0  # slices of a second, taken in turns
WRITERS, TURNS, SECONDS = 4, 9, 2.0


def rate(call, seconds):
    """Return calls per second, and microseconds of CPU a call."""
    count, began, busy = 0, time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) - began < seconds:
        call()
        count += 1
    return count / (now - began), 1e6 * (time.process_time() - busy) / count


def fsync_loop(path):
    """Return a call that appends a page to a file and flushes it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    page = bytes(4096)

    def call():
        os.write(descriptor, page)
        os.fsync(descriptor)

    return call


def plain_insert(path, journal="DELETE", synchronous="EXTRA"):
    """Return a call that inserts a row as SQLite's manual would: busy_timeout and BEGIN IMMEDIATE.

    It reads the last row and writes one more, as a ledger must, and does nothing else.
    """
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, row TEXT)")
    row = "x" * 400

    def call():
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT row FROM t ORDER BY n DESC LIMIT 1").fetchall()
        connection.execute("INSERT INTO t (row) VALUES (?)", (row,))
        connection.execute("COMMIT")

    return call


def ledger_charge(path):
    """Return a call that charges a ledger."""
    ledger, loss = PrivacyLedger(path), PrivacyLoss.laplace(AMOUNT)
    return lambda: ledger.charge(loss)


def write_in_turns(name, make, path, go, found):
    """Count the calls that one of several writers gets through in each turn of its contestant."""
    call = make(path)
    for _ in range(TURNS):
        for turn in ("plain", "ledger"):
            go.wait()
            if turn == name:
                found.put((name, *rate(call, SECONDS)))
            go.wait()


def several_writers(folder):
    """Print the rates of processes that write to one file at the same time, contestants in turns.

    Of the calls of all writers together the median over the turns; of the slowest writer beside the
    fastest the median and the least; of the two contestants the median of the ratios.
    """
    context = multiprocessing.get_context("spawn")
    go, found = context.Barrier(2 * WRITERS), context.Queue()
    contestants = [("plain", plain_insert, "plain.db"), ("ledger", ledger_charge, "empty.db")]
    writers = [
        context.Process(target=write_in_turns, args=(name, make, folder / file, go, found))
        for name, make, file in contestants
        for _ in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    results = [found.get() for _ in range(TURNS * len(writers))]
    for writer in writers:
        writer.join()
    together = {}
    for name, *_ in contestants:
        own = [result[1:] for result in results if result[0] == name]
        turns = [[calls for calls, _ in own[i : i + WRITERS]] for i in range(0, len(own), WRITERS)]
        together[name] = [sum(turn) for turn in turns]
        fair = sorted(min(turn) / max(turn) for turn in turns)
        print(
            f"{name:30}{statistics.median(together[name]):8.0f}   slowest beside fastest "
            f"{statistics.median(fair):.2f} ({fair[0]:.2f})"
            f"{statistics.median(cpu for _, cpu in own):10.0f} µs of CPU"
        )
    ratios = sorted(b / a for a, b in zip(*together.values(), strict=True))
    print(f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def long_ledger(path):
    """Make a ledger of many charges, in one transaction (charge by charge it takes long)."""
    store, loss = PrivacyLedger.create(path, **CAP)._store, PrivacyLoss.laplace(AMOUNT)
    with store._session() as (file, connection):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            entry, (_, previous) = store._tip(file, connection), store._known
            for _ in range(LONG):
                entry = entry.next("pure", totals=entry.totals.add(loss), loss=loss)
                row = Row.of(entry, previous)
                ledger_file._insert(connection, row)
                previous = row.hash
        store._write_head(file, row, entry)


def opening(path):
    """Return the seconds that opening a ledger takes, in a process that has it not open."""
    began = time.perf_counter()
    ledger = PrivacyLedger(path)
    total = ledger.total()
    seconds = time.perf_counter() - began
    assert total[0] >= 0
    return seconds, len(ledger)


def cpu_seconds():
    """Return the seconds of CPU of this process and, on Linux, of its children that are alive."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            fields = file.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + (ticks / os.sysconf("SC_CLK_TCK") if ticks else 0)


def searches(folder):
    """Print the CPU time of a search (3 ε, 4 students: 61 fits) with a ledger and without one."""
    X, y = make_classification(14_000, n_features=12, n_informative=6, random_state=0)
    private, public = slice(10_000), slice(10_000, None)
    forest = RandomForestClassifier(20, random_state=0)
    logistic = LogisticRegression()
    teachers = {
        "stable": (NewtonClassifier(classes=[0, 1], curvature=X[public]), "auto"),
        "row-bound": (forest, "auto"),
        "ensemble": (TeacherEnsemble(logistic, 50, classes=[0, 1]), "auto"),
        "ensemble, one round": (
            TeacherEnsemble(logistic, 50, classes=[0, 1]),
            ResidualRounds(n_rounds=1),
        ),
    }
    grid = {"epsilon": [0.5, 1.0, 2.0], "student__C": [0.01, 0.1, 1.0, 10.0]}
    for name, (teacher, mechanism) in teachers.items():
        teacher.fit(X[private], y[private])
        for n_jobs in (1, 2):
            seconds = {True: [], False: []}
            for turn in range(-1, 2 * REPEATS):  # the first starts the workers and is not counted
                accounted = bool(turn % 2)
                path = folder / f"search {name} {n_jobs} {turn}"
                ledger = PrivacyLedger.create(path, 1e3, 1e-6) if accounted else None
                distiller = PrivateDistiller(
                    teacher, LogisticRegression(), delta=1e-6, mechanism=mechanism
                ).set_params(accountant=ledger)
                search = GridSearchCV(distiller, grid, n_jobs=n_jobs, error_score="raise")
                began = cpu_seconds()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    search.fit(X[public], y[public])
                if turn >= 0:
                    seconds[accounted].append(cpu_seconds() - began)
            with_it, without = (statistics.median(seconds[key]) for key in (True, False))
            print(
                f"{name:24}n_jobs={n_jobs}{with_it:8.2f} s{without:8.2f} s{with_it / without:8.2f}"
            )


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
        PrivacyLedger.create(folder / "empty.db", **CAP)
        contestants = {
            "write 4 kB and fsync": fsync_loop(folder / "raw"),
            "plain SQLite insert": plain_insert(folder / "plain.db"),
            "plain SQLite insert, WAL": plain_insert(folder / "wal.db", "WAL", "FULL"),
            "ledger, empty": ledger_charge(folder / "empty.db"),
            f"ledger of {LONG:,} charges": ledger_charge(folder / "long.db"),
        }
        rates = {contestant: [] for contestant in contestants}
        for _ in range(REPEATS):
            for contestant, call in contestants.items():
                rates[contestant].append(rate(call, SLICE))
        for contestant, found in rates.items():
            each = sorted(calls for calls, _ in found)
            print(
                f"{contestant:30}{statistics.median(each):8.0f}  ({each[0]:.0f}, {each[-1]:.0f})"
                f"{statistics.median(cpu for _, cpu in found):10.0f} µs of CPU"
            )

        print(f"\nopening a ledger and reading its total, median of {REPEATS}, milliseconds")
        for ledger in ("empty.db", "long.db"):
            found = [opening(folder / ledger) for _ in range(REPEATS)]
            seconds = statistics.median(second for second, _ in found)
            print(f"{found[0][1]:>12,} charges {1000 * seconds:10.1f}")
        print(f"(the long one, {size:.0f} MiB, was made in {made:.0f} s)")

        print(f"\n{WRITERS} writers, median of {TURNS} turns of {SECONDS:g} s, per second")
        several_writers(folder)

        print("\ngrid search: CPU with a ledger, without, ratio (medians, in turns)")
        searches(folder)


if __name__ == "__main__":
    main()
