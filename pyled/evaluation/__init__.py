"""`pyled evaluate`: how near a checkpoint's summaries come to those that people wrote, and to those of simple rules.

To be read in this order: porter, rouge, baselines, bootstrap, systems, evaluation, report.
"""
