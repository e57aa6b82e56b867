"""The command line, `pyled`: results go to standard output, everything else to standard error, both as UTF-8.

To be read in this order: dispatch; in shared/ exit_status, parser, settings, words, interrupts, console, loading,
inputs, forms, places, outputs, results, chunks, dry_run; summarize, answer, classify, inspect, tokenize; pairs and
records in shared/, evaluate; train; convert; trace, check, kit.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command, and return its exit status.

    argv: the arguments; None for those of the process, which an interrupt then ends (see `interrupts`)
    """
    # subtle: every import stands in here, so that an interrupt ends quietly also while they run.
    try:
        from .shared.interrupts import leave_on_interrupt

        if argv is None:
            leave_on_interrupt()
        from .dispatch import run

        return run(argv)
    except KeyboardInterrupt:
        return 130  # INTERRUPTED, which may not be imported yet
