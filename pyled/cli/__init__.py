"""The command line: `pyled`.

Results alone go to standard output, as UTF-8; everything else to standard error. To be read in this order: command,
console, interrupts, parser, settings, inputs, forms, outputs, summarize, dryrun, inspect, examination, tokenize, bench,
evaluate, pairs, records.
This file imports nothing before `main` is on guard, so that an interrupt ends quietly at any time.
"""

OK, FAILED, USAGE, BAD_CHECKPOINT, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Run a command and give its exit status.

    argv: the arguments; None for those of the process, which an interrupt then ends (see `interrupts`)
    """
    try:
        from .shared.interrupts import leave_on_interrupt

        if argv is None:
            leave_on_interrupt()
        from .dispatch import run

        return run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
