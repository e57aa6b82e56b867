"""The exit statuses of the command, and what each means."""

OK, FAILED, USAGE, BAD_CHECKPOINT, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_STATUS = {
    OK: "all was done",
    FAILED: "an input failed, or an output could not be written",
    USAGE: "wrong usage: nothing was done",
    BAD_CHECKPOINT: "the checkpoint is bad",
    INTERRUPTED: "interrupted",
}
