"""The command line: `pyled`.

Results alone go to standard output, as UTF-8; everything else to standard error. To be read in this order: command,
console, parser, settings, inputs, forms, outputs, summarize, dryrun, inspect, examination, tokenize. This file imports
nothing before `main` is on guard, so that an interrupt ends quietly at any time.
"""

OK, FAILED, USAGE, BAD_CHECKPOINT, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Run a command and give its exit status. `argv`: the arguments, by default those of the process."""
    try:
        from .command import run

        return run(argv)
    except KeyboardInterrupt:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to do is to leave
        return INTERRUPTED
