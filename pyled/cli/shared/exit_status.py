"""The exit statuses of the command, and what each means."""

OK, FAILED, USAGE, BAD_CHECKPOINT, UNDONE, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT_STATUS = {
    OK: "all was done",
    FAILED: "an input failed, an output could not be written or, of check, a stage is outside its budget",
    USAGE: "wrong usage: nothing was done",
    BAD_CHECKPOINT: "the checkpoint is bad",
    UNDONE: "of check, the comparison could not be done",
    INTERRUPTED: "interrupted",
}
