"""Ledgers in files, and the faults that they are put through.

`holds` is the promise: a ledger reports all that was acknowledged, or refuses to open.
"""

import json
import shutil
import sqlite3

from skdistill.accounting.ledger import LedgerError, PrivacyLedger

CAP = {"epsilon": 10.0, "delta": 1e-6, "pure": 10.0}


AMOUNT = 0.01


def created(path):
    return PrivacyLedger.create(path, **CAP)


def opened(path):
    return PrivacyLedger(path)


def filled(path, n=5):
    """A ledger of n charges and one remembered blob."""
    ledger = created(path)
    for _ in range(n):
        ledger.spend(AMOUNT, 0)
    ledger.remember(b"key", b"blob" * 1000)
    return n


def files(path):
    return {name: path.with_name(path.name + name) for name in ("", "-journal", "-head")}


def snapshot(path, folder):
    """Copy the files that a machine finds after it lost its power (the index is rebuilt)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files(path).items():
        target = folder / (path.name + name)
        target.unlink(missing_ok=True)
        if file.exists():
            shutil.copyfile(file, target)
    return folder / path.name


def holds(path, acknowledged):
    """Whether it opened; if so, it must report all that was acknowledged."""
    try:
        ledger = opened(path)
    except LedgerError:
        return False
    assert len(ledger) >= acknowledged
    assert ledger.total()[0] >= acknowledged * AMOUNT * (1 - 1e-12)
    return True


def tampered(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        assert connection.execute(statement).rowcount != 0
    connection.close()


def edited(path, n, **fields):
    """Change fields of an entry, as somebody would who does not know of the hashes."""
    connection = sqlite3.connect(path, isolation_level=None)
    (text,) = connection.execute("SELECT text FROM entries WHERE n = ?", (n,)).fetchone()
    text = json.dumps(json.loads(text) | fields, separators=(",", ":"))
    connection.execute("UPDATE entries SET text = ? WHERE n = ?", (text, n))
    connection.close()
