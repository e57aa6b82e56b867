"""Write the weight files that must be refused, each with its rule, for ports: `python golden/refused.py [--check]`.

Runs where pyled's tests run, and asks no reference: the files are those of tests/test_safetensors.py, but for a few
that are long. A line of `golden/weight_files/refused.jsonl` is {"rule": a code of docs/checkpoint.md, "hex": the file}.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STORED = ROOT / "golden" / "weight_files" / "refused.jsonl"
LONGEST = 1000  # bytes of a file


def lines() -> str:
    """Return the content of the stored file."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from test_safetensors import REFUSED

    files = [(rule, data) for rule, (_, files) in REFUSED.items() for data in files if len(data) <= LONGEST]
    return "".join(json.dumps({"rule": rule, "hex": data.hex()}) + "\n" for rule, data in files)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if STORED.read_text(encoding="ascii") == lines() else f"{STORED.name} is not what the tests refuse")
    STORED.write_text(lines(), encoding="ascii", newline="")
