"""``python -m skdistill ledger FILE``: what a privacy ledger says. Nothing is changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, 1 where a ledger cannot be relied on."""
    parser = argparse.ArgumentParser(prog="python -m skdistill", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    ledger = commands.add_parser("ledger", help="what a privacy ledger has spent, and its history")
    ledger.add_argument("file", help="the ledger")
    ledger.add_argument(
        "--verify", action="store_true", help="recompute every hash, total and remembered blob"
    )
    ledger.add_argument(
        "--last", type=int, default=_SHOWN, metavar="N", help=f"entries to show ({_SHOWN})"
    )
    options = parser.parse_args(arguments)
    return _show_ledger(options.file, options.verify, max(0, options.last))


def _show_ledger(file: str, verify: bool, last: int) -> int:
    from skdistill.accounting import ledger_report
    from skdistill.accounting.ledger_file import read_store
    from skdistill.accounting.ledger_place import LedgerError, real_path

    try:
        with read_store(real_path(file)) as store:
            try:
                store.connect(None)
                tip = store.tip()
                print(ledger_report.as_text(store.path, tip), end="\n\n")
                rows = list(ledger_report.records(store, last)) if last else []
                if tip.n + 1 > len(rows):
                    print(f"the last {len(rows)} of {tip.n + 1} entries")
                print(ledger_report.as_table(rows))
                if verify:
                    print(f"\nverified: all {ledger_report.verify(store)} entries are intact")
            except LedgerError:
                _show_claim(store.last_claim())
                raise
    except LedgerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _show_claim(tip: object) -> None:
    """Print what a ledger says that cannot be relied on: it may have spent more."""
    from skdistill.accounting.ledger_file import Entry
    from skdistill.accounting.ledger_report import as_text

    if isinstance(tip, Entry):
        try:
            text = as_text("NOT TO BE RELIED ON: the last entry that was found", tip)
        except ValueError:
            return
        print(text, end="\n\n")


if __name__ == "__main__":
    sys.exit(main())
