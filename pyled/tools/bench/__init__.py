"""`pyled bench`: what this machine does with LED, alone or turn by turn with another engine.

To be read in this order: works, worker, peer, children, session, report. Every measurement is made by a child process
of its own (`worker`, or `peer` for transformers), so that its peak of memory is its own and nothing is warm that should
not be. The process that asks stays small, because on Linux a child begins with its parent's peak.
"""
