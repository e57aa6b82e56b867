"""Write the weight files that must be refused, each with its rule, for ports: `python golden/refused.py [--check]`.

Runs where pyled's tests run, and asks no reference: the files are those of tests/test_safetensors.py and
tests/test_torch_files.py, but for a few that are long. A line of `golden/weight_files/refused.jsonl` and
`golden/torch_files/refused.jsonl.gz` is {"rule": a code of docs/checkpoint.md, "hex": the file}, the latter with its
"case".
"""

import gzip
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STORED = ROOT / "golden" / "weight_files" / "refused.jsonl", ROOT / "golden" / "torch_files" / "refused.jsonl.gz"
LONGEST = 1500  # bytes of a file


def contents() -> tuple[str, str]:
    """Return the content of the stored files."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import test_safetensors
    import test_torch_files

    files = [({"rule": rule}, data) for rule, (_, files) in test_safetensors.REFUSED.items() for data in files]
    cases = [({"case": case, "rule": rule}, data) for case, (rule, data) in test_torch_files.REFUSED.items()]
    return lines(files), lines(cases)


def lines(files: list[tuple[dict[str, str], bytes]]) -> str:
    short = [(told, data) for told, data in files if len(data) <= LONGEST]
    return "".join(json.dumps({**told, "hex": data.hex()}) + "\n" for told, data in short)


def stored() -> tuple[str, ...]:
    """Return what the files hold."""
    contents = (path.read_bytes() for path in STORED)
    return tuple((gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("ascii") for data in contents)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if stored() == contents() else "the stored files are not those that the tests refuse")
    for path, content in zip(STORED, contents(), strict=True):
        data = content.encode("ascii")
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
