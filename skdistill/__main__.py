"""``python -m skdistill ledger FILE`` shows a privacy ledger and changes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from skdistill import __version__

_SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, 1 where a ledger cannot be relied on."""
    parser = argparse.ArgumentParser(prog="python -m skdistill", description=__doc__)
    parser.add_argument("--version", action="version", version=f"skdistill {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    ledger = commands.add_parser("ledger", help="show the total and the history of a ledger")
    ledger.add_argument("file", help="the ledger")
    ledger.add_argument(
        "--verify", action="store_true", help="recompute every hash, counter and remembered blob"
    )
    ledger.add_argument(
        "--last", type=int, default=_SHOWN, metavar="N", help=f"entries to show ({_SHOWN})"
    )
    options = parser.parse_args(arguments)
    return _show_ledger(options.file, options.verify, max(0, options.last))


def _show_ledger(file: str, verify: bool, last: int) -> int:
    from skdistill.accounting import ledger_report
    from skdistill.accounting.ledger_file import Store
    from skdistill.accounting.ledger_place import LedgerError, real_path

    store = Store(real_path(file), read_only=True)
    try:
        store.open()
        tip = store.tip()
        print(ledger_report.as_text(store.path, tip), end="\n\n")
        print(ledger_report.statement(tip), end="\n\n")
        rows = ledger_report.history(store, last, events=True)
        if (count := tip.n + 1) > len(rows):
            print(f"the last {len(rows)} of {count} entries")
        print(ledger_report.as_table(rows))
        if verify:
            print(f"\nverified: all {ledger_report.verify(store)} entries are intact")
    except LedgerError as error:
        # The last entry of a damaged ledger still says the least that was spent.
        if (claim := store.last_claim()) is not None:
            title = "NOT TO BE RELIED ON: the last entry that was found"
            print(ledger_report.as_text(title, claim), end="\n\n")
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
