"""``python -m skdistill ledger FILE`` only reads."""

import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from processes import ENVIRONMENT

from skdistill import __version__
from skdistill.__main__ import main
from skdistill.accounting import PrivacyLoss
from skdistill.accounting.ledger import PrivacyLedger


@pytest.fixture
def path(tmp_path):
    ledger = PrivacyLedger.create(tmp_path / "budget ü%.db", epsilon=1.0, delta=0.0)
    for number in range(30):
        ledger.charge(PrivacyLoss.laplace(0.01), note=f"release {number}")
    ledger.remember(b"key", b"labels")
    return tmp_path / "budget ü%.db"


def everything(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_shows_total_and_history(path, capsys):
    before = everything(path.parent)
    assert main(["ledger", str(path)]) == 0
    text = capsys.readouterr().out
    assert (
        "ε = 0.3 in 30 charges" in text
        and "30.0% of the budget" in text
        and "ε = 0.7 for one" in text
    )
    assert "the last 20 of 32 entries" in text
    assert "release 29" in text and "release 11" in text and "release 10\n" not in text
    assert "verified" not in text
    assert "together are ε = 1 differentially private when one record is replaced" in text
    assert everything(path.parent) == before


def test_verify_and_last(path, capsys):
    assert main(["ledger", str(path), "--verify", "--last", "50"]) == 0
    text = capsys.readouterr().out
    assert "verified: all 32 entries are intact" in text and "release 0\n" in text
    assert "the last" not in text
    assert main(["ledger", str(path), "--last", "0"]) == 0
    assert not re.search(r"release \d", capsys.readouterr().out)


@pytest.mark.slow
def test_reads_what_others_are_writing(path):
    """In another process, as it is used."""
    ledger = PrivacyLedger(path)
    ledger.charge(PrivacyLoss.laplace(0.01), note="just now")
    command = [sys.executable, "-W", "error", "-m", "skdistill", "ledger", str(path), "--verify"]
    done = subprocess.run(
        command, env={**ENVIRONMENT, "PYTHONIOENCODING": "utf-8"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "just now" in done.stdout.decode("utf-8") and b"all 33 entries" in done.stdout
    ledger.spend(0.01, 0)
    assert ledger.verify() == 34


def test_tampered_history_fails_verification(path, capsys):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE entries SET text = text || ' ' WHERE n = 28")
    connection.close()
    assert main(["ledger", str(path)]) == 0
    assert capsys.readouterr().out.count("TAMPERED WITH") == 1
    assert main(["ledger", str(path), "--verify"]) == 1
    assert "Entry 28 of the ledger" in capsys.readouterr().err


def test_damaged_ledger_is_shown_with_a_warning(path, capsys):
    shutil.copyfile(path, path.with_name("copy.db"))
    assert main(["ledger", str(path.with_name("copy.db"))]) == 1
    printed = capsys.readouterr()
    assert "copy.db-head" in printed.err
    assert "NOT TO BE RELIED ON" in printed.out and "in 30 charges" in printed.out


@pytest.mark.parametrize("content", [None, b"", b"text" * 1000, bytes(5000)])
def test_other_files(tmp_path, capsys, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    before = everything(tmp_path)
    assert main(["ledger", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == "" and ("no ledger" in printed.err or "not a ledger" in printed.err)
    assert everything(tmp_path) == before


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"skdistill {__version__}\n"


def test_usage(capsys):
    for arguments in ([], ["other"], ["ledger"]):
        with pytest.raises(SystemExit):
            main(arguments)
    assert "python -m skdistill" in capsys.readouterr().err
